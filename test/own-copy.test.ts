// What a caller does to his options while a call runs has no part in it.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { finetune, merge, planMerge, soup, sweep } from '../lib/index.js';
import { ownCopy } from '../lib/own-copy.js';
import { makePair } from './support/pair.js';
import { heads } from './support/soup-heads.js';
import { headTensors, trainingProject } from './support/training.js';

describe('a list that is changed while the call runs changes nothing', () => {
  it('of alphas, which were checked', async () => {
    const { zeroshot, finetuned, out } = await makePair();
    const alpha = [0.25, 0.75];
    const merged = merge({ zeroshot, finetuned, alpha, out });
    alpha.splice(0, 2, 7, 8, 9);
    const { outputs } = await merged;
    expect(outputs.map(({ alpha: one }) => one)).toEqual([0.25, 0.75]);
    expect(outputs.map(({ directory }) => directory)).toEqual(
      ['alpha_0.2500', 'alpha_0.7500'].map((name) => join(out, name)),
    );
    expect(readdirSync(out)).toEqual(['alpha_0.2500', 'alpha_0.7500']);
    for (const { directory } of outputs) {
      expect(readFileSync(join(directory, 'wisemerge.json'), 'utf8')).toContain('--alpha 0.25,0.75');
    }
    const planned = planMerge({ zeroshot, finetuned, alpha, out: `${out}-2`, extrapolate: true });
    alpha.length = 0;
    expect((await planned).alphas).toEqual([7, 8, 9]);
  });

  it('of alphas by tensor', async () => {
    const { zeroshot, finetuned, out } = await makePair();
    const tensorAlphas: Record<string, number> = { w: 0.25 };
    const merged = merge({ zeroshot, finetuned, alpha: 0.5, tensorAlphas, out });
    tensorAlphas.w = 9;
    await merged;
    expect(JSON.parse(readFileSync(join(out, 'wisemerge.json'), 'utf8')).tensorAlphas).toEqual({ w: 0.25 });
  });

  it('of alphas, sets and models to evaluate', async () => {
    const { options } = await heads();
    const [zeroshot, finetuned] = options.models as [string, string];
    const sets = [{ name: 'val', role: 'select', kind: 'id' } as const];
    const [alphas, some] = [[0, 0.5, 1], [...sets]];
    const evaluate = async () => ({ val: 0.5 });
    const swept = sweep({ zeroshot, finetuned, sets: some, alphas, out: `${options.out}-sweep`, evaluate });
    alphas.push(7);
    some.length = 0;
    expect(await swept).toMatchObject({ alphas: [0, 0.5, 1], sets: [{ name: 'val' }] });
    const models = [...options.models];
    const made = soup({ ...options, models, sets, evaluate });
    models.length = 0;
    expect((await made).models).toEqual(options.models);
  });

  it('of labels to train on', async () => {
    const { root: _, ...project } = await trainingProject(headTensors(4, 12));
    const [first, second] = [`${project.out}-1`, `${project.out}-2`];
    const { epochs } = await finetune({ ...project, epochs: 1, out: first });
    const labels = Int32Array.from(project.train.labels);
    const trained = finetune({ ...project, epochs: 1, out: second, train: { ...project.train, labels } });
    labels.fill(0);
    expect((await trained).epochs).toEqual(epochs);
  });
});

describe('a copy of options', () => {
  it('has lists, records and numbers of its own, and everything else as it is', () => {
    const { signal } = new AbortController();
    const given = { a: [{ b: [1] }], c: Int32Array.of(1, 2), d: new Map(), e: () => 1, signal, f: null };
    const own = ownCopy(given);
    expect(own).toEqual(given);
    expect(own.a[0]!.b).not.toBe(given.a[0]!.b);
    expect(own.c).not.toBe(given.c);
    expect(own).toMatchObject({ d: given.d, e: given.e });
    expect(own.signal).toBe(signal);
  });

  it('ends where a record holds itself', () => {
    const given: Record<string, unknown> = {};
    given.own = given;
    const own = ownCopy(given);
    expect(own.own).toBe(own);
  });
});
