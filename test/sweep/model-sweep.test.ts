import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../lib/checkpoint/checkpoint.js';
import { writeSafetensors } from '../../lib/checkpoint/write-safetensors.js';
import type { Evaluate } from '../../lib/eval/function-evaluator.js';
import { merge } from '../../lib/merge/merge.js';
import { writeReport } from '../../lib/report/report.js';
import { pick } from '../../lib/sweep/pick.js';
import { type SweepOptions, sweep } from '../../lib/sweep/sweep.js';
import { tempDir } from '../support/temp.js';

const withoutTimings = (text: string) => text.replace(/"seconds": [^,\n]+/, '"seconds": 0');
const code = async (promise: Promise<unknown>) =>
  await promise.then(
    () => 'none',
    (error) => error.code,
  );
const bytes = (array: Float32Array | Int32Array) =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

const [zero, one] = [Float32Array.of(1, -2, 3, 0.5), Float32Array.of(2, -2, -1, 4)];

/** Two models of a vector and a counter, in a new directory. */
async function models(): Promise<{ directory: string; options: Omit<SweepOptions, 'out'> }> {
  const directory = await tempDir();
  for (const [name, values] of [
    ['zeroshot', zero],
    ['finetuned', one],
  ] as const) {
    await writeSafetensors(join(directory, `${name}.safetensors`), [
      { name: 'w', dtype: 'F32', shape: [2, 2], data: bytes(values) },
      { name: 'step', dtype: 'I32', shape: [1], data: bytes(Int32Array.of(7)) },
    ]);
  }
  return {
    directory,
    options: {
      zeroshot: join(directory, 'zeroshot.safetensors'),
      finetuned: join(directory, 'finetuned.safetensors'),
      sets: [
        { name: 'id', role: 'select', kind: 'id' },
        { name: 'far', role: 'select', kind: 'shift' },
        { name: 'kept', role: 'report', kind: 'shift' },
      ],
      alphas: '0:1:0.25',
      replicates: 50,
    },
  };
}

/** 200 samples, sample i right within 0.3 of alpha = peak + noise: unimodal on average. */
const correctAround = (alpha: number, peak: number) =>
  Array.from({ length: 200 }, (_, i) => Math.abs(alpha - peak + 0.5 * Math.sin(17 * i)) < 0.3);
const evaluate: Evaluate = async ({ alpha }) => ({
  id: { correct: correctAround(alpha, 0.7), metrics: { nll: alpha } },
  far: { correct: correctAround(alpha, 0.3) },
  kept: { correct: correctAround(alpha, 0.4) },
});

describe('a directory of a sweep', () => {
  test('belongs to one run at a time', async () => {
    const { directory, options } = await models();
    const out = join(directory, 'sweep');
    const seen: unknown[] = [];
    await sweep({
      ...options,
      out,
      evaluate: async (...given) => {
        if (seen.length === 0) {
          for (const more of [{}, { resume: true }, { force: true }]) {
            seen.push(await code(sweep({ ...options, out, evaluate, ...more })));
          }
        }
        return await evaluate(...given);
      },
    });
    expect(seen).toEqual(Array(3).fill('ERR_OUTPUT_BUSY'));
    expect(await readdir(out)).not.toContain('.lock');
    expect(await code(sweep({ ...options, out, evaluate }))).toBe('ERR_OUTPUT_EXISTS');
    expect(await readdir(out)).not.toContain('.lock');
  });

  test('that a killed run has left behind is taken over', async () => {
    const { directory, options } = await models();
    const out = join(directory, 'sweep');
    await mkdir(join(out, '.lock'), { recursive: true });
    const dead = { pid: process.pid, host: hostname(), started: 'another boot' };
    await writeFile(join(out, '.lock', '.owner.json'), JSON.stringify(dead));
    await sweep({ ...options, out, evaluate });
    expect(await readdir(out)).not.toContain('.lock');
  });
});

describe('a sweep by a function', () => {
  test('its curves are what the function said, and everything else follows', async () => {
    const { directory, options } = await models();
    const out = join(directory, 'sweep');
    const result = await sweep({ ...options, out, evaluate });
    expect(JSON.parse(await readFile(join(out, 'sweep.json'), 'utf8'))).toEqual(result);
    expect(result.alphas).toEqual([0, 0.25, 0.5, 0.75, 1]);
    for (const [s, peak] of [0.7, 0.3, 0.4].entries()) {
      const shares = result.alphas.map((a) => correctAround(a, peak).filter(Boolean).length / 200);
      expect(result.sets[s]!.metrics.map(({ top1 }) => top1)).toEqual(shares);
    }
    expect(result.sets[0]!.metrics[1]!.nll).toBe(0.25);
    const { firmness, exact, sets } = result.analysis;
    expect(exact).toBeNull();
    expect(firmness!.crossValidation!.sets).toEqual(['id', 'far']);
    expect(sets[2]!.samples!.mcnemar.zeroshot.pValue).toBeLessThanOrEqual(1);
    expect(JSON.stringify(await pick(out))).toBe(JSON.stringify(result.analysis));
    await writeReport(out);
    expect(await readFile(join(out, 'report.html'), 'utf8')).toContain('cross-validation');
  });

  test('the candidate in memory is the merged model', async () => {
    const { directory, options } = await models();
    const seen = new Map<number, Uint8Array[]>();
    await sweep({
      ...options,
      out: join(directory, 'sweep'),
      concurrency: 3,
      evaluate: async (candidate) => {
        expect(candidate.tensors.map(({ name }) => name)).toEqual(['w', 'step']);
        const tensors = [await candidate.readTensor('w'), await candidate.readTensor('step')];
        seen.set(candidate.alpha, tensors);
        await expect(candidate.readTensor('v')).rejects.toMatchObject({ code: 'ERR_NO_SUCH_TENSOR' });
        return { id: candidate.alpha, far: 0.5, kept: 0.5 };
      },
    });
    const merged = join(directory, 'merged');
    const { zeroshot, finetuned } = options;
    await merge({ zeroshot, finetuned, alpha: [0, 0.25, 0.5, 0.75, 1], out: merged });
    for (const [alpha, tensors] of seen) {
      const path = join(merged, `alpha_${alpha.toFixed(4)}`);
      await using checkpoint = await openCheckpoint(path);
      expect(tensors).toEqual([await checkpoint.readTensor('w'), await checkpoint.readTensor('step')]);
    }
    expect(seen.size).toBe(5);
  });

  test('scores alone give a choice, and no statistics of samples', async () => {
    const { directory, options } = await models();
    const out = join(directory, 'sweep');
    const scores: Evaluate = async ({ alpha }) => ({ id: alpha, far: 1 - alpha ** 2, kept: 0.1 });
    const result = await sweep({ ...options, out, evaluate: scores });
    expect(result.analysis.selection.alpha).toBe(0.5);
    expect(result.analysis.firmness).toBeNull();
    expect(result.sets.every(({ outcome }) => outcome === null)).toBe(true);
    expect((await pick(out, { rule: 'max-shift' })).selection.alpha).toBe(0);
    expect(await code(pick(out, { rule: 'one-se' }))).toBe('ERR_USAGE');
    await writeReport(out);
  });

  test.each(['refine', 'golden'] as const)('%s goes on around the best', async (search) => {
    const { directory, options } = await models();
    const asked: number[] = [];
    const result = await sweep({
      ...options,
      out: join(directory, 'sweep'),
      search,
      tolerance: 0.02,
      evaluate: async ({ alpha }) => {
        asked.push(alpha);
        const score = 1 - (alpha - 0.337) ** 2;
        return { id: score, far: score, kept: 0 };
      },
    });
    expect(Math.abs(result.analysis.selection.alpha - 0.337)).toBeLessThan(0.02);
    expect(result.alphas).toEqual(asked.toSorted((a, b) => a - b));
    expect(asked.length).toBeLessThan(16);
  });

  test('stopped after any number of models and resumed, it gives the same sweep.json', async () => {
    const { directory, options } = await models();
    const searching = { ...options, search: 'refine', tolerance: 0.05, concurrency: 2 } as const;
    const whole = join(directory, 'whole');
    await sweep({ ...searching, out: whole, evaluate });
    const expected = withoutTimings(await readFile(join(whole, 'sweep.json'), 'utf8'));
    for (const after of [1, 4, 6, 7]) {
      const out = join(directory, `after-${after}`);
      const stop = new AbortController();
      const stopped = sweep({
        ...searching,
        out,
        evaluate,
        signal: stop.signal,
        onProgress: (at) => {
          if ('alphasDone' in at && at.alphasDone === after) stop.abort(new Error('killed'));
        },
      });
      await expect(stopped).rejects.toThrow('killed');
      let again = 0;
      const counting: Evaluate = async (candidate, context) => {
        again++;
        return await evaluate(candidate, context);
      };
      await sweep({ ...searching, out, evaluate: counting, resume: true });
      expect(withoutTimings(await readFile(join(out, 'sweep.json'), 'utf8'))).toBe(expected);
      expect(again).toBeLessThanOrEqual(JSON.parse(expected).alphas.length - after);
    }
  });

  test('a failure stops the others, is passed on, and what was done stays', async () => {
    const { directory, options } = await models();
    const out = join(directory, 'sweep');
    let started = 0;
    const failing: Evaluate = async (candidate, context) => {
      started++;
      if (candidate.alpha === 0.5) throw new Error('no such GPU');
      return await evaluate(candidate, context);
    };
    await expect(sweep({ ...options, out, evaluate: failing })).rejects.toThrow('no such GPU');
    expect(started).toBe(3);
    await sweep({ ...options, out, evaluate, resume: true });
  });

  test.each<[string, unknown]>([
    ['nothing', undefined],
    ['a missing set', { id: 1, far: 1 }],
    ['a score above 1', { id: 76.2, far: 1, kept: 1 }],
    ['a NaN', { id: Number.NaN, far: 1, kept: 1 }],
    ['text', { id: 'good', far: 1, kept: 1 }],
    ['a score of text', { id: { score: '0.5' }, far: 1, kept: 1 }],
    ['a score of null', { id: { score: null }, far: 1, kept: 1 }],
    ['results of null', { id: { correct: null }, far: 1, kept: 1 }],
    ['results as text', { id: { correct: '1010' }, far: 1, kept: 1 }],
    ['metrics of text', { id: { score: 1, metrics: { nll: 'low' } }, far: 1, kept: 1 }],
    ['neither true (1) nor false (0)', { id: { correct: [1, 0, 2] }, far: 1, kept: 1 }],
    ['no samples', { id: { correct: [] }, far: 1, kept: 1 }],
  ])('%s is no evaluation', async (_, value) => {
    const { directory, options } = await models();
    const odd: Evaluate = async () => value as Record<string, number>;
    expect(await code(sweep({ ...options, out: join(directory, 'sweep'), evaluate: odd }))).toBe(
      'ERR_EVALUATION',
    );
  });

  test('resuming with other models is refused, with other folds it is not', async () => {
    const { directory, options } = await models();
    const out = join(directory, 'sweep');
    await sweep({ ...options, out, evaluate });
    const never: Evaluate = () => Promise.reject(new Error('evaluated again'));
    const { analysis } = await sweep({
      ...options,
      out,
      evaluate: never,
      resume: true,
      folds: 4,
      rule: 'max-id',
    });
    expect(analysis.firmness!.crossValidation!.folds).toBe(4);
    await rm(options.finetuned);
    await writeSafetensors(options.finetuned, [
      { name: 'w', dtype: 'F32', shape: [2, 2], data: bytes(zero) },
      { name: 'step', dtype: 'I32', shape: [1], data: bytes(Int32Array.of(7)) },
    ]);
    expect(await code(sweep({ ...options, out, evaluate, resume: true }))).toBe('ERR_SWEEP_CHANGED');
  });

  test('models must see the same samples', async () => {
    const { directory, options } = await models();
    const varying: Evaluate = async ({ alpha }) => ({
      id: { correct: Array.from({ length: 10 + (alpha > 0.6 ? 1 : 0) }, () => 1) },
      far: 1,
      kept: 1,
    });
    const run = sweep({ ...options, out: join(directory, 'sweep'), evaluate: varying });
    await expect(run).rejects.toMatchObject({
      code: 'ERR_EVALUATION',
      message: expect.stringContaining('10 samples at alpha 0 and 11 at alpha 0.75'),
    });
  });

  test('labels say how folds are split, and must be as many as samples', async () => {
    const { directory, options } = await models();
    const labels = join(directory, 'labels.csv');
    await writeFile(labels, `label\n${Array.from({ length: 200 }, (_, i) => i % 4).join('\n')}\n`);
    const sets = options.sets.map((set) => ({ ...set, labels }));
    await sweep({ ...options, sets, out: join(directory, 'sweep'), evaluate });
    await writeFile(labels, 'label\n1\n2\n');
    const short = sweep({ ...options, sets, out: join(directory, 'short'), evaluate });
    await expect(short).rejects.toMatchObject({ code: 'ERR_EVALUATION' });
  });

  test('what cannot work fails before anything is evaluated', async () => {
    const { directory, options } = await models();
    const out = join(directory, 'sweep');
    const never: Evaluate = () => Promise.reject(new Error('was called'));
    const attempt = (change: object) => code(sweep({ ...options, out, evaluate: never, ...change }));
    expect(await attempt({ budget: 4 })).toBe('ERR_USAGE');
    expect(await attempt({ rule: 'max-mean:kept=1' })).toBe('ERR_REPORT_SET');
    expect(await attempt({ command: ['true', '{model}'] })).toBe('ERR_SWEEP_FILE');
    expect(await attempt({ memory: '1GiB', evaluate: undefined, command: ['true', '{model}'] })).toBe(
      'ERR_SWEEP_FILE',
    );
    expect(await attempt({ activation: 'relu' })).toBe('ERR_SWEEP_FILE');
    expect(await attempt({ device: 'cuda' })).toBe('ERR_SWEEP_FILE');
    expect(await attempt({ sets: [{ ...options.sets[0]!, features: 'a.npy' }] })).toBe('ERR_SWEEP_FILE');
    const other = join(directory, 'other.safetensors');
    await writeSafetensors(other, [{ name: 'w', dtype: 'F32', shape: [4], data: bytes(one) }]);
    expect(await attempt({ finetuned: other })).toBe('ERR_INCOMPATIBLE');
  });
});

describe('a sweep by a command', () => {
  /** Scores w[0] of the model, which goes from 1 to 2, by its distance from 1.3. */
  async function script(directory: string, body = ''): Promise<string[]> {
    const path = join(directory, 'evaluate.mjs');
    await writeFile(
      path,
      `import { readFileSync } from 'node:fs';
const [model, alpha] = process.argv.slice(2);
const file = readFileSync(model + '/zeroshot.safetensors');
const start = 8 + Number(file.readBigUInt64LE(0));
const { w } = JSON.parse(file.subarray(8, start));
const first = file.readFloatLE(start + w.data_offsets[0]);
console.log('some progress');
${body}
console.log(JSON.stringify({ id: 1 - Math.abs(first - 1.3), far: { correct: [1, 0, first < 1.6] }, kept: Number(alpha) }));
`,
    );
    return [process.execPath, path, '{model}', '{alpha}'];
  }

  test('runs on each model, which is deleted afterwards', async () => {
    const { directory, options } = await models();
    const out = join(directory, 'sweep');
    const command = await script(directory);
    const result = await sweep({ ...options, out, command, rule: 'max-id', concurrency: 2 });
    expect(result.analysis.selection.alpha).toBe(0.25);
    expect(result.sets[0]!.metrics[1]!.top1).toBeCloseTo(0.95, 6);
    expect(result.sets[1]!.metrics.map(({ top1 }) => top1)).toEqual([2 / 3, 2 / 3, 2 / 3, 1 / 3, 1 / 3]);
    expect(result.sets[2]!.metrics.map(({ top1 }) => top1)).toEqual(result.alphas);
    expect(await readdir(out)).not.toContain('candidates');
    const kept = join(directory, 'kept');
    await sweep({ ...options, out: kept, command, keep: true });
    const candidates = await readdir(join(kept, 'candidates'));
    expect(candidates.length).toBe(5);
    // As an evaluation that writes beside the model does.
    await writeFile(join(kept, 'candidates', candidates[0]!, 'results.json'), '{}');
    await sweep({ ...options, out: kept, command, keep: true, force: true });
    expect(await readdir(join(kept, 'candidates', candidates[0]!))).not.toContain('results.json');
  });

  test.each([
    ['process.exit(3);', 'ended with status 3'],
    ['throw new Error("out of memory");', 'out of memory'],
    ['console.log("done"); process.exit(0);', 'is not JSON: done'],
    ['process.kill(process.pid, "SIGKILL");', 'was ended by SIGKILL'],
  ])('its failure is told: %s', async (body, message) => {
    const { directory, options } = await models();
    const command = await script(directory, body);
    const run = sweep({ ...options, out: join(directory, 'sweep'), command });
    await expect(run).rejects.toMatchObject({
      code: 'ERR_EVALUATION',
      message: expect.stringContaining(message),
    });
    expect(await readdir(join(directory, 'sweep'))).not.toContain('candidates');
  });

  test('a program that is not there, and an interruption', async () => {
    const { directory, options } = await models();
    const missing = sweep({
      ...options,
      out: join(directory, 'missing'),
      command: ['no-such-program', '{model}'],
    });
    await expect(missing).rejects.toMatchObject({
      code: 'ERR_EVALUATION',
      message: expect.stringContaining('cannot start no-such-program'),
    });
    // What the command itself has started holds its pipes, and must end as well.
    const command = ['sh', '-c', 'sleep 60 & sleep 60', '{model}'];
    const stop = new AbortController();
    await mkdir(join(directory, 'stopped'), { recursive: true });
    setTimeout(() => stop.abort(new Error('Ctrl-C')), 500);
    const began = performance.now();
    const stopped = sweep({ ...options, out: join(directory, 'stopped'), command, signal: stop.signal });
    await expect(stopped).rejects.toThrow('Ctrl-C');
    expect(performance.now() - began).toBeLessThan(20_000);
  });
});
