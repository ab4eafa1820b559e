import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { describeAnalysis, describeCurves } from '../../lib/cli/sweep-text.js';
import { isCorrectAt } from '../../lib/eval/correct-intervals.js';
import { diff } from '../../lib/merge/diff.js';
import { merge } from '../../lib/merge/merge.js';
import { writeReport } from '../../lib/report/report.js';
import type { SetOutcome } from '../../lib/selection/set-outcome.js';
import { readOutcome } from '../../lib/sweep/outcome-file.js';
import { pick } from '../../lib/sweep/pick.js';
import { readResult } from '../../lib/sweep/result.js';
import { sweep } from '../../lib/sweep/sweep.js';
import { sweepProject } from '../support/sweep-project.js';

type HeadOutcome = Extract<SetOutcome, { readonly correct?: never }>;

const withoutTimings = (text: string) => text.replace(/"seconds": [^,\n]+/, '"seconds": 0');
const code = async (promise: Promise<unknown>) =>
  await promise.then(
    () => 'none',
    (error) => error.code,
  );

describe('a sweep', () => {
  test('its result holds the curves, the choice and what the samples said', async () => {
    const { directory, options } = await sweepProject();
    const out = join(directory, 'sweep');
    const result = await sweep({ ...options, out });
    expect(JSON.parse(await readFile(join(out, 'sweep.json'), 'utf8'))).toEqual(result);
    expect(result.alphas).toHaveLength(11);
    for (const set of result.sets) {
      const { intervals, labels } = (await readOutcome(join(out, set.outcome!))) as Required<HeadOutcome>;
      for (const [k, alpha] of result.alphas.entries()) {
        const hits = labels.filter((_: number, i: number) => isCorrectAt(intervals, i, alpha)).length;
        expect(set.metrics[k]!.top1).toBe(hits / set.samples);
      }
    }
    const mean = result.alphas.map(
      (_, k) => (result.sets[0]!.metrics[k]!.top1 + result.sets[1]!.metrics[k]!.top1) / 2,
    );
    const { selection, exact, firmness } = result.analysis;
    expect(selection.objective).toBeCloseTo(Math.max(...mean), 12);
    expect(mean[selection.index]).toBeCloseTo(Math.max(...mean), 12);
    expect(exact!.value).toBeGreaterThanOrEqual(selection.objective);
    expect(firmness!.crossValidation!.sets).toEqual(['id', 'far']);
  });

  test('the smallest likelihood is sought wherever alphas are, beyond the ends too', async () => {
    const { directory, options } = await sweepProject();
    // An end a tenth of the way: what is best between the models of the project lies beyond it.
    const near = join(directory, 'near');
    await merge({ zeroshot: options.zeroshot, finetuned: options.finetuned, alpha: 0.1, out: near });
    const [first, last] = [options.zeroshot, near];
    for (const [zeroshot, finetuned, name] of [
      [first, last, 'beyond 1'],
      [last, first, 'below 0'],
    ] as const) {
      const given = { ...options, zeroshot, finetuned };
      const result = await sweep({ ...given, alphas: '-2:3:0.25', out: join(directory, name) });
      const [id, far] = result.sets.map(({ metrics }) => metrics);
      const nll = result.alphas.map((_, k) => (id![k]!.nll! + far![k]!.nll!) / 2);
      const least = result.alphas[nll.indexOf(Math.min(...nll))]!;
      const { alpha, calibrated } = result.likelihood!;
      expect(alpha.nll).toBeLessThanOrEqual(Math.min(...nll) + 1e-9);
      expect(Math.abs(alpha.alpha - least)).toBeLessThanOrEqual(0.25);
      expect(Math.abs(alpha.alpha - 0.5)).toBeGreaterThan(0.5);
      expect(calibrated.nll).toBeLessThanOrEqual(alpha.nll + 1e-9);
      expect(describeCurves(result)).toContain('among alphas from -2 to 3');
    }
  });

  test('results.jsonl has a record per alpha', async () => {
    const { directory, options } = await sweepProject();
    const out = join(directory, 'sweep');
    const { sets } = await sweep({ ...options, out });
    const lines = (await readFile(join(out, 'results.jsonl'), 'utf8'))
      .trimEnd()
      .split('\n')
      .map((l) => JSON.parse(l));
    expect(lines.map(({ alpha }) => alpha)).toEqual([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]);
    expect(lines[3]['kept:top1']).toBe(sets[2]!.metrics[3]!.top1);
    expect(lines[3]['id:nll']).toBe(sets[0]!.metrics[3]!.nll);
  });

  test('without metrics: the same curves and the same choice, from which samples are right', async () => {
    const { directory, options } = await sweepProject();
    const whole = await sweep({ ...options, out: join(directory, 'whole') });
    const out = join(directory, 'curve');
    const curve = await sweep({ ...options, metrics: false, out });
    expect(curve.analysis).toEqual(whole.analysis);
    expect(curve.likelihood).toBeNull();
    expect(curve).not.toHaveProperty('outputs');
    for (const [s, { metrics, outcome }] of curve.sets.entries()) {
      const expected = whole.sets[s]!.metrics.map(({ samples, top1, meanPerClass }) => ({
        samples,
        top1,
        meanPerClass,
      }));
      expect(metrics).toEqual(expected);
      expect(await readOutcome(join(out, outcome!))).toEqual(
        await readOutcome(join(directory, 'whole', whole.sets[s]!.outcome!)),
      );
    }
    expect((await pick(out, { rule: 'max-id' })).selection).toEqual(
      (await pick(join(directory, 'whole'), { rule: 'max-id' })).selection,
    );
    // The journal knows: metrics cannot be added to a sweep that was begun without.
    expect(await code(sweep({ ...options, out, resume: true }))).toBe('ERR_SWEEP_CHANGED');
    expect(await code(sweep({ ...options, metrics: false, out, resume: true }))).toBe('none');
  });

  test('stopped after any set and resumed, it gives the same sweep.json', async () => {
    const { directory, options } = await sweepProject();
    const whole = join(directory, 'whole');
    await sweep({ ...options, out: whole });
    const expected = withoutTimings(await readFile(join(whole, 'sweep.json'), 'utf8'));
    for (const stopAt of ['id', 'far', 'kept']) {
      const out = join(directory, `stopped-at-${stopAt}`);
      const stop = new AbortController();
      const stopped = sweep({
        ...options,
        out,
        signal: stop.signal,
        onProgress: (at) => {
          if ('set' in at && at.set === stopAt) stop.abort(new Error('killed'));
        },
      });
      await expect(stopped).rejects.toThrow('killed');
      await sweep({ ...options, out, resume: true });
      expect(withoutTimings(await readFile(join(out, 'sweep.json'), 'utf8'))).toBe(expected);
    }
  });

  test('the checkpoints are compared once, and not at all when that is not wanted', async () => {
    const { directory, options } = await sweepProject();
    const out = join(directory, 'sweep');
    let compared = 0;
    const onCompare = () => {
      compared++;
    };
    const { divergence } = await sweep({ ...options, out, onCompare });
    const { total } = await diff(options.zeroshot, options.finetuned);
    expect(divergence).toMatchObject({ rows: [], cells: [], others: [{ name: 'head.weight' }] });
    expect(divergence!.total).toEqual({
      parameters: total.parameters,
      relativeL2: total.relativeL2,
      cosine: total.cosine,
    });
    expect(compared).toBeGreaterThan(0);
    compared = 0;
    const again = await sweep({ ...options, out, onCompare, resume: true });
    expect(again.divergence).toEqual(divergence);
    const without = await sweep({ ...options, out, onCompare, force: true, divergence: false });
    expect(without.divergence).toBeUndefined();
    expect(compared).toBe(0);
  });

  test('a line that a kill cut off is done again', async () => {
    const { directory, options } = await sweepProject();
    const out = join(directory, 'sweep');
    await sweep({ ...options, out });
    const path = join(out, 'journal.jsonl');
    const expected = withoutTimings(await readFile(join(out, 'sweep.json'), 'utf8'));
    const text = await readFile(path, 'utf8');
    for (const cut of [text.slice(0, -40), text.slice(0, 100), '']) {
      await writeFile(path, cut);
      await sweep({ ...options, out, resume: true });
      expect(withoutTimings(await readFile(join(out, 'sweep.json'), 'utf8'))).toBe(expected);
    }
  });

  test('the precision of logits is named, kept to, and fast on a GPU alone', async () => {
    const { directory, options } = await sweepProject();
    const out = join(directory, 'sweep');
    expect((await sweep({ ...options, out })).head).toMatchObject({ precision: 'exact' });
    await sweep({ ...options, precision: 'exact', out, resume: true });
    const path = join(out, 'journal.jsonl');
    const text = await readFile(path, 'utf8');
    await writeFile(path, text.replace('"precision":"exact"', '"precision":"fast"'));
    await expect(sweep({ ...options, out, resume: true })).rejects.toMatchObject({
      code: 'ERR_SWEEP_CHANGED',
      message: expect.stringContaining('precision ("fast", now "exact")'),
    });
    const other = join(directory, 'other');
    for (const device of ['cpu', 'auto']) {
      await expect(sweep({ ...options, precision: 'fast', device, out: other })).rejects.toMatchObject({
        code: 'ERR_SWEEP_FILE',
        message: expect.stringContaining('precision fast is for tensor cores'),
      });
    }
    await expect(sweep({ ...options, precision: 'tf32', device: 'cuda', out: other })).rejects.toMatchObject({
      code: 'ERR_SWEEP_FILE',
      message: expect.stringContaining('precision tf32 is for whole networks'),
    });
    const evaluate = async () => ({});
    await expect(
      sweep({
        ...options,
        precision: 'exact',
        evaluate,
        out: other,
        sets: [{ name: 'a', role: 'select', kind: 'id' }],
      }),
    ).rejects.toMatchObject({
      message: expect.stringContaining(
        'precision does nothing in a sweep of models that a function evaluates',
      ),
    });
    // A function decides itself what it keeps of a model.
    await expect(
      sweep({
        ...options,
        ...{ keep: true, evaluate, out: other },
        sets: [{ name: 'a', role: 'select', kind: 'id' }],
      }),
    ).rejects.toMatchObject({ message: expect.stringContaining('keep does nothing in a sweep of') });
    await expect(
      sweep({
        ...options,
        ...{ head: 'head.weight', evaluate, out: other },
        sets: [{ name: 'a', role: 'select', kind: 'id' }],
      }),
    ).rejects.toMatchObject({ message: expect.stringContaining('head does nothing in a sweep of') });
  });

  test('resuming with other options, models or data is refused, naming what changed', async () => {
    const { directory, options } = await sweepProject();
    const out = join(directory, 'sweep');
    await sweep({ ...options, out });
    const again = sweep({ ...options, out, resume: true, alphas: '0:1:0.2' });
    await expect(again).rejects.toMatchObject({
      code: 'ERR_SWEEP_CHANGED',
      // Alpha by alpha there would be eight differences.
      message: expect.stringMatching(/options: alphas \(\[0,0\.1,[^ ]+, now \[0,0\.2,[^ ]+\)$/),
    });
    const swapped = { ...options, zeroshot: options.finetuned, finetuned: options.zeroshot };
    expect(await code(sweep({ ...swapped, out, resume: true }))).toBe('ERR_SWEEP_CHANGED');
  });

  test('an earlier sweep is not overwritten unless asked', async () => {
    const { directory, options } = await sweepProject();
    const out = join(directory, 'sweep');
    await sweep({ ...options, out });
    expect(await code(sweep({ ...options, out }))).toBe('ERR_OUTPUT_EXISTS');
    const forced = await sweep({ ...options, out, force: true, alphas: '0:1:0.5' });
    expect((await readResult(out)).alphas).toEqual(forced.alphas);
    const nowhere = join(out, 'nowhere');
    await expect(readResult(nowhere)).rejects.toMatchObject({
      code: 'ERR_SWEEP_RESULT',
      message: `there is no directory ${nowhere}`,
    });
  });

  test('what cannot be chosen or evaluated fails before any work and leaves nothing', async () => {
    const { directory, options } = await sweepProject();
    const out = join(directory, 'sweep');
    const reports = options.sets.map((set) => ({ ...set, role: 'report' as const }));
    const attempt = (change: object) => code(sweep({ ...options, out, ...change }));
    expect(await attempt({ sets: reports })).toMatch(/^ERR_(USAGE|REPORT_SET)$/);
    expect(await attempt({ rule: 'max-mean:kept=1' })).toBe('ERR_REPORT_SET');
    expect(await attempt({ rule: 'max-id', sets: options.sets.slice(1) })).toBe('ERR_USAGE');
    expect(await attempt({ rule: 'best' })).toBe('ERR_USAGE');
    expect(await attempt({ alphas: 'x' })).toMatch(/^ERR_/);
    expect(await attempt({ sets: [options.sets[0], options.sets[0]] })).toBe('ERR_SWEEP_FILE');
    expect(await attempt({ folds: 1 })).toBe('ERR_SWEEP_FILE');
    const few = { ...options.sets[0]!, groups: join(directory, 'groups.csv') };
    await writeFile(few.groups, `group\n${Array.from({ length: 400 }, (_, i) => `g${i % 4}\n`).join('')}`);
    await expect(sweep({ ...options, sets: [few], folds: 5, out })).rejects.toMatchObject({
      code: 'ERR_USAGE',
      message: '5 folds were asked for, but set id has 4 groups',
      hint: 'Ask for at most 4 folds, or leave folds out.',
    });
    expect(await attempt({ budget: 3 })).toBe('ERR_SWEEP_FILE');
    expect(await attempt({ zeroshot: join(directory, 'id.safetensors') })).toMatch(/^ERR_/);
    const wrong = { ...options.sets[0]!, labels: options.sets[1]!.labels };
    expect(await attempt({ sets: [wrong] })).toBe('ERR_DATA_MISMATCH');
    expect(await code(readFile(join(out, 'journal.jsonl')))).toBe('ENOENT');
  });
});

test('a sweep of fewer groups than the usual folds, and one to report on alone, end with a result', async () => {
  const { directory, options } = await sweepProject();
  const groups = join(directory, 'groups.csv');
  await writeFile(groups, `group\n${Array.from({ length: 400 }, (_, i) => `g${i % 4}\n`).join('')}`);
  const sets = [{ ...options.sets[0]!, groups }];
  const grouped = await sweep({ ...options, sets, out: join(directory, 'grouped') });
  expect(grouped.analysis.firmness!.crossValidation!.folds).toBe(4);
  const out = join(directory, 'reported');
  const given = { ...options, rule: 'fixed:0.5', sets: options.sets.slice(2) };
  const { analysis } = await sweep({ ...given, out });
  expect(analysis.selection.alpha).toBe(0.5);
  const { firmness } = (await readResult(out)).analysis;
  expect(firmness).toMatchObject({
    crossValidation: null,
    crossValidationNote: expect.stringContaining('no set has role "select"'),
  });
  await writeReport(out);
  const html = await readFile(join(out, 'report.html'), 'utf8');
  for (const text of [html.replaceAll('&#34;', '"'), describeAnalysis(analysis)])
    expect(text).toContain(firmness!.crossValidationNote);
});

test('pick chooses anew from the outcomes on disk', async () => {
  const { directory, options } = await sweepProject();
  const out = join(directory, 'sweep');
  const result = await sweep({ ...options, out });
  expect(JSON.stringify(await pick(out))).toBe(JSON.stringify(result.analysis));
  const shift = await pick(out, { rule: 'max-shift' });
  const far = result.sets[1]!.metrics.map(({ top1 }) => top1);
  expect(far[shift.selection.index]).toBe(Math.max(...far));
  expect((await pick(out, { rule: 'fixed:0.5' })).selection.alpha).toBe(0.5);
  expect(await code(pick(out, { rule: 'max-mean:kept=1' }))).toBe('ERR_REPORT_SET');
  expect(await code(pick(directory))).toBe('ERR_SWEEP_RESULT');
});
