import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { describe, expect, it, vi } from 'vitest';
import { ProgressMeter } from '../../lib/checkpoint/progress.js';
import { diff, type MergePlan, merge, type Progress } from '../../lib/index.js';
import { writeModel, writeShards } from '../support/models.js';
import { makePair } from '../support/pair.js';
import { tensor } from '../support/safetensors.js';

function expectMonotone(reports: readonly Progress[]): void {
  for (const [i, { phase, bytesDone, bytesTotal, bytesPerSec, etaMs }] of reports.entries()) {
    const before = reports[i - 1];
    if (before?.phase === phase) {
      expect(bytesDone).toBeGreaterThanOrEqual(before.bytesDone);
      expect(bytesTotal).toBe(before.bytesTotal);
    } else {
      expect(bytesDone).toBe(0);
    }
    expect(bytesDone).toBeLessThanOrEqual(bytesTotal);
    expect(bytesPerSec).toBeGreaterThanOrEqual(0);
    if (etaMs !== undefined) expect(etaMs).toBeGreaterThanOrEqual(0);
  }
}

describe('the progress of a merge', () => {
  it.each([0.5, [0.1, 0.5, 0.9]])(
    'with alpha %j only grows, and ends at the bytes of the plan',
    async (alpha) => {
      const pair = await makePair(1_000_000);
      const reports: Progress[] = [];
      let plan: MergePlan | undefined;
      const { bytesRead, bytesWritten } = await merge({
        ...{ zeroshot: pair.zeroshot, finetuned: pair.finetuned, out: pair.out },
        alpha,
        memory: 8 * 2 ** 20,
        onPlan: (planned) => {
          plan = planned;
        },
        onProgress: (progress) => reports.push(progress),
      });
      expectMonotone(reports);
      expect([...new Set(reports.map(({ phase }) => phase))]).toEqual(['check', 'stream', 'finish']);
      // Programs divide by it.
      for (const { bytesTotal } of reports.filter(({ phase }) => phase === 'stream')) {
        expect(bytesTotal).toBe(plan!.bytesRead + plan!.bytesWritten);
      }
      const last = reports.findLast(({ phase }) => phase === 'stream')!;
      expect(last).toMatchObject({ bytesDone: plan!.bytesRead + plan!.bytesWritten, tensor: 'w', etaMs: 0 });
      expect({ bytesRead, bytesWritten }).toEqual({
        bytesRead: plan!.bytesRead,
        bytesWritten: plan!.bytesWritten,
      });
      expect(bytesRead).toBe(8_000_000);
    },
  );

  it('counts integer tensors and tied embeddings as they are read', async () => {
    const { root } = await makePair();
    const ids = tensor('ids', 'I64', [1000]);
    const embed = tensor('model.embed_tokens.weight', 'F32', [50, 4]);
    const zeroshot = writeShards(join(root, 'tx'), [
      [ids, embed],
      [tensor('lm_head.weight', 'F32', [50, 4])],
    ]);
    const finetuned = writeModel(join(root, 'ty'), [ids, embed]);
    const reports: Progress[] = [];
    const { bytesRead } = await merge({
      zeroshot,
      finetuned,
      alpha: 0.5,
      out: join(root, 'to'),
      onProgress: (p) => reports.push(p),
    });
    expect(bytesRead).toBe(8000 + 4 * 800);
    expectMonotone(reports);
    for (const phase of ['check', 'stream']) {
      const last = reports.findLast((one) => one.phase === phase)!;
      expect(last.bytesDone).toBe(last.bytesTotal);
    }
    expect(reports.find(({ phase }) => phase === 'check')!.bytesTotal).toBe(16_000);
  });

  it('of a comparison ends at its total, even where integers differ early', async () => {
    const { root } = await makePair();
    const model = (name: string, fill: number) =>
      writeModel(join(root, name), [
        tensor('w', 'F32', [1000]),
        tensor('ids', 'U8', [3_000_000], Buffer.alloc(3_000_000, fill)),
      ]);
    const reports: Progress[] = [];
    await diff(model('a', 0), model('b', 1), { onProgress: (p) => reports.push(p) });
    expectMonotone(reports);
    expect(reports.at(-1)).toMatchObject({ bytesDone: 6_008_000, bytesTotal: 6_008_000 });
  });
});

describe('reports', () => {
  it('come at most ten times a second within a phase, and at its end', () => {
    let now = 0;
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now);
    const times: number[] = [];
    const reports: Progress[] = [];
    const meter = new ProgressMeter((progress) => {
      times.push(now);
      reports.push(progress);
    });
    meter.start('stream', 1000);
    for (let i = 0; i < 1000; i++) {
      now += 1.5;
      meter.add(1, `t${i}`);
    }
    clock.mockRestore();
    const gaps = times.slice(1, -1).map((time, i) => time - times[i]!);
    for (const gap of gaps) expect(gap).toBeGreaterThan(99);
    expect(gaps.length).toBeGreaterThan(2);
    expect(reports.at(-1)).toMatchObject({ bytesDone: 1000, bytesTotal: 1000, tensor: 't999', etaMs: 0 });
  });
});

describe('the event loop', () => {
  it('stays free during a merge of 300 MB', async () => {
    // 3 x 100 MB of traffic: two inputs of 25 M elements and one output.
    const pair = await makePair(1000);
    const model = (name: string) => writeModel(join(pair.root, name), [tensor('w', 'F32', [25_000_000])]);
    const [zeroshot, finetuned] = [model('bx'), model('by')];
    const delay = monitorEventLoopDelay({ resolution: 1 });
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    delay.enable();
    const { seconds } = await merge({ zeroshot, finetuned, alpha: 0.5, out: pair.out });
    delay.disable();
    clearInterval(timer);
    // Other work on the machine delays timers too: the median is held to the documented bound of the 99th
    // percentile, and the 99th percentile to a generous one.
    expect(delay.percentile(50) / 1e6).toBeLessThan(20);
    expect(delay.percentile(99) / 1e6).toBeLessThan(200);
    expect(ticks).toBeGreaterThan((1000 * seconds) / 5 / 10);
  });
});
