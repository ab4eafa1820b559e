// The method's claims on a smaller recipe: interpolation gains, and only where both ends belong together.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { verify } from '../../lib/checkpoint/verify.js';
import { runDemo } from '../../lib/cli/commands/demo.js';
import { type DemoResult, demo } from '../../lib/demo/demo.js';
import { standardRecipe, vitRecipe } from '../../lib/demo/recipe.js';
import { NetworkModel } from '../../lib/eval/network.js';
import { merge } from '../../lib/merge/merge.js';
import { readResult } from '../../lib/sweep/result.js';
import { listFiles } from '../support/models.js';
import { tempDir } from '../support/temp.js';

const recipe = {
  ...standardRecipe,
  pretraining: { ...standardRecipe.pretraining, samples: 24_000 },
  evaluated: 2000,
  alphas: Array.from({ length: 11 }, (_, k) => k / 10),
};
/** For what does not depend on what is learned. */
const tiny = {
  ...recipe,
  pretraining: { ...recipe.pretraining, samples: 640, epochs: 1 },
  finetuning: { ...recipe.finetuning, samples: 64, copies: 1, epochs: 1 },
  evaluated: 64,
};

describe('the demo', () => {
  let result: DemoResult;
  let root: string;
  let out: string;

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'wisemerge-test-'));
    out = join(root, 'demo');
    result = await demo({ out, seeds: 3, control: true, recipe });
  }, 180_000);
  afterAll(() => rm(root, { recursive: true, force: true }));

  it('gains on the mean shift, with its interval above 0, and loses nothing on ID', () => {
    const { id, shift, gain, seeds } = result;
    expect(seeds).toBe(3);
    expect(gain.mean).toBeGreaterThan(0.015);
    expect(gain.ci95[0]).toBeGreaterThan(0);
    expect(shift.chosen).toBeGreaterThan(Math.max(shift.zeroshot, shift.finetuned));
    expect(id.chosen).toBeGreaterThan(id.zeroshot);
    expect(id.chosen).toBeGreaterThan(id.finetuned - 0.01);
    // Room to grow, and something learned.
    expect(id.finetuned).toBeLessThan(0.95);
    expect(id.zeroshot).toBeGreaterThan(0.5);
    for (const { alpha } of result.runs) {
      expect(alpha).toBeGreaterThan(0);
      expect(alpha).toBeLessThan(1);
    }
  });

  it('keeps the shift on which interpolation does not help', () => {
    const invert = result.sets.find(({ name }) => name === 'invert')!;
    expect(invert.accuracy.zeroshot).toBeGreaterThan(invert.accuracy.chosen);
    expect(invert.gain.ci95[1]).toBeLessThan(0);
    expect(result.sets.map(({ name }) => name)).toEqual([
      ...['id', 'recollect', 'invert', 'sketch', 'pose_bg', 'hard'],
    ]);
  });

  it('is broken by hidden units in another order, which change no output, and by other random weights', () => {
    const { permuted, independent } = result.control!;
    // Another order of summation may turn a sample that is all but tied.
    expect(Math.abs(permuted.id.finetuned - result.id.finetuned)).toBeLessThan(0.002);
    expect(Math.abs(permuted.shift.finetuned - result.shift.finetuned)).toBeLessThan(0.002);
    for (const control of [permuted, independent]) {
      for (const { zeroshot, finetuned, middle } of [control.id, control.shift]) {
        expect(middle).toBeLessThan(Math.min(zeroshot, finetuned) - 0.15);
      }
      expect(control.gain.ci95[0]).toBeLessThan(0.005);
      expect(control.gain.mean).toBeLessThan(result.gain.ci95[0]);
    }
  });

  it('says the means of what its runs say', () => {
    const { runs, id, shift, gain, alpha, sets } = result;
    const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length;
    expect(alpha).toBeCloseTo(mean(runs.map((run) => run.alpha)), 12);
    for (const end of ['zeroshot', 'finetuned', 'chosen'] as const) {
      expect(id[end]).toBeCloseTo(mean(runs.map((run) => run.id[end])), 12);
      expect(shift[end]).toBeCloseTo(mean(runs.map((run) => run.shift[end])), 12);
      expect(id[end]).toBeCloseTo(sets[0]!.accuracy[end], 12);
      expect(shift[end]).toBeCloseTo(mean(sets.slice(1).map(({ accuracy }) => accuracy[end])), 12);
    }
    for (const { shift, gain } of runs) {
      expect(gain).toBeCloseTo(shift.chosen - Math.max(shift.zeroshot, shift.finetuned), 12);
    }
    expect(gain.mean).toBeCloseTo(mean(runs.map((run) => run.gain)), 12);
    for (const score of ['chosenOn', 'crossValidated'] as const) {
      expect(result[score]).toBeCloseTo(mean(runs.map((run) => run[score])), 12);
    }
    for (const { chosenOn, crossValidated } of runs) {
      expect(Math.abs(crossValidated - chosenOn)).toBeLessThan(0.02);
      expect(crossValidated).toBeGreaterThan(0.5);
    }
  });

  it('leaves models to look at further', async () => {
    expect(listFiles(out).filter((name) => name.endsWith('model.safetensors'))).toEqual([
      'finetuned/model.safetensors',
      'zeroshot/model.safetensors',
    ]);
    expect((await verify(out)).map(({ problems }) => problems)).toEqual([[], []]);
    const saved = JSON.parse(readFileSync(join(out, 'demo.json'), 'utf8'));
    expect(saved).toMatchObject({ format: 'wisemerge-demo', gain: result.gain, recipe: { classes: 16 } });
    const sweep = await readResult(join(out, 'sweep'));
    expect(sweep.analysis.selection.score).toBeCloseTo(result.runs[0]!.chosenOn, 12);
    expect(sweep.analysis.selection.alpha).toBe(result.runs[0]!.alpha);
    expect(sweep.config.zeroshot).toBe(join(out, 'zeroshot'));
    for (const [s, name] of ['id', 'id-report'].entries()) expect(sweep.sets[s]!.name).toBe(name);
    expect(sweep.sets[1]!.metrics[0]!.top1).toBe(result.runs[0]!.id.zeroshot);
    expect(readFileSync(join(out, 'sweep', 'report.html'), 'utf8')).toContain('invert-report');
    const { outputs } = await merge({
      zeroshot: join(out, 'zeroshot'),
      finetuned: join(out, 'finetuned'),
      alpha: [0.4],
      out: join(root, 'merged'),
    });
    expect(outputs).toHaveLength(1);
  });
});

describe('a run of the demo', () => {
  it('prints one object with --json, and says on stderr where the models are', async () => {
    const out = join(await tempDir(), 'demo');
    const printed = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const) {
      vi.spyOn(process[stream], 'write').mockImplementation((text) => {
        printed[stream] += String(text);
        return true;
      });
    }
    await runDemo({ out, seeds: 2, json: true }, new AbortController().signal, tiny).finally(() =>
      vi.restoreAllMocks(),
    );
    const result = JSON.parse(printed.stdout);
    const ends = { zeroshot: expect.any(Number), finetuned: expect.any(Number), chosen: expect.any(Number) };
    const gain = { mean: expect.any(Number), ci95: [expect.any(Number), expect.any(Number)] };
    expect(result).toMatchObject({ alpha: expect.any(Number), id: ends, shift: ends, gain, seeds: 2 });
    expect(result).not.toHaveProperty('control');
    expect(printed.stderr).toContain(`the first seed's models are in ${out}/zeroshot`);
    expect((await verify(out)).map(({ problems }) => problems)).toEqual([[], []]);
  });

  it('gives the same figures again', async () => {
    const figures = async () => {
      const { seconds: _seconds, ...rest } = await demo({ seeds: 2, recipe: tiny });
      return rest;
    };
    expect(await figures()).toEqual(await figures());
  });

  it('with a ViT gives the same figures again, and a sweep of it', async () => {
    const out = join(await tempDir(), 'demo');
    const { classes, batchSize, weightDecay, clip } = vitRecipe;
    const network = { kind: 'vit', patch: 4, width: 16, depth: 2, heads: 2, inner: 32 } as const;
    const { pretraining, finetuning, evaluated, alphas } = tiny;
    const small = {
      ...{ classes, batchSize, weightDecay, clip, network },
      pretraining,
      finetuning,
      evaluated,
      alphas,
    };
    const figures = async (more = {}) => {
      const { seconds: _seconds, ...rest } = await demo({ seeds: 2, recipe: small, control: true, ...more });
      return rest;
    };
    const first = await figures({ out });
    expect(await figures()).toEqual(first);
    const { permuted } = first.control!;
    expect(Math.abs(permuted.id.finetuned - first.id.finetuned)).toBeLessThan(0.05);
    const sweep = await readResult(join(out, 'sweep'));
    expect(sweep.sets[1]!.metrics.at(-1)!.top1).toBe(first.runs[0]!.id.finetuned);
    await using model = await NetworkModel.open(join(out, 'zeroshot'), join(out, 'finetuned'));
    expect(model.architecture.name).toBe('vit');
  });

  it('replaces an earlier demo with --force only, and nothing else', async () => {
    const out = join(await tempDir(), 'demo');
    await demo({ out, seeds: 2, recipe: tiny });
    await expect(demo({ out, seeds: 2, recipe: tiny })).rejects.toMatchObject({ code: 'ERR_OUTPUT_EXISTS' });
    await demo({ out, seeds: 2, recipe: tiny, force: true });
    writeFileSync(join(out, 'finetuned', 'notes.txt'), 'mine');
    await expect(demo({ out, seeds: 2, recipe: tiny, force: true })).rejects.toMatchObject({
      details: { strangers: ['finetuned/notes.txt'] },
    });
    rmSync(join(out, 'finetuned', 'notes.txt'));
    const mine = ['sweep/notes.txt', 'sweep/outcomes/mine.csv', 'sweep/plots/talk.svg'];
    for (const name of mine) writeFileSync(join(out, name), 'mine');
    await expect(demo({ out, seeds: 2, recipe: tiny, force: true })).rejects.toMatchObject({
      details: { strangers: mine },
    });
    const own = join(await tempDir(), 'own');
    mkdirSync(own);
    writeFileSync(join(own, 'demo.json'), '{"format":"mine"}');
    await expect(demo({ out: own, seeds: 2, recipe: tiny, force: true })).rejects.toMatchObject({
      code: 'ERR_OUTPUT_NOT_OURS',
    });
    expect(listFiles(own)).toEqual(['demo.json']);
  });

  it('that is stopped leaves the earlier demo as it was, which --force replaces at the end', async () => {
    const root = await tempDir();
    const out = join(root, 'demo');
    await demo({ out, seeds: 2, recipe: tiny });
    const kept = () => listFiles(root).map((name) => [name, readFileSync(join(root, name), 'base64')]);
    const before = kept();
    const controller = new AbortController();
    const run = demo({
      ...{ out, seeds: 2, recipe: tiny, force: true, signal: controller.signal },
      onProgress: ({ what }) => {
        if (what === 'fine-tuning') controller.abort();
      },
    });
    await expect(run).rejects.toMatchObject({ name: 'AbortError' });
    expect(kept()).toEqual(before);
    await demo({ out, seeds: 3, recipe: tiny, force: true });
    expect(listFiles(root)).toEqual(before.map(([name]) => name));
    expect(JSON.parse(readFileSync(join(out, 'demo.json'), 'utf8')).seeds).toBe(3);
  });

  it('that is stopped leaves nothing behind', async () => {
    const root = await tempDir();
    const out = join(root, 'demo');
    for (const step of ['pre-training', 'fine-tuning', 'evaluating']) {
      const controller = new AbortController();
      const run = demo({
        ...{ out, seeds: 2, recipe: tiny, signal: controller.signal },
        onProgress: ({ what }) => {
          if (what === step) controller.abort();
        },
      });
      await expect(run, step).rejects.toMatchObject({ name: 'AbortError' });
      expect(existsSync(out)).toBe(false);
      expect(listFiles(root)).toEqual([]);
    }
  });

  it('needs two seeds for an interval', async () => {
    for (const seeds of [0, 1, 2.5]) {
      await expect(demo({ seeds, recipe: tiny })).rejects.toMatchObject({ code: 'ERR_USAGE' });
    }
  });
});
