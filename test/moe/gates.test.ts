// Routers: those of prompts against their definitions in f64 and against numbers of mergekit's, random ones by their moments.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { TextTokenizer } from '../../lib/eval/text/tokenizer.js';
import { openCheckpoint } from '../../lib/index.js';
import type { MoeOptions } from '../../lib/moe/options.js';
import { fixtureWeights, hiddenStates } from '../support/llama-reference.js';
import {
  floats,
  moeHidden as hidden,
  moeLayers as layers,
  moeProject,
  moePrompts as prompts,
  router,
} from '../support/moe-project.js';
import { llamaTokenizer } from '../support/tokenizers.js';

const negatives = { b: `    negative_prompts: ${JSON.stringify(prompts.not)}\n` };
const f32 = 'dtype: float32\n';

type Vectors = readonly (readonly number[])[];
const length = (vector: readonly number[]) => Math.hypot(...vector);
const unit = (vector: readonly number[]) => vector.map((v) => v / length(vector));
const sum = (rows: Vectors): number[] => rows[0]!.map((_, j) => rows.reduce((all, row) => all + row[j]!, 0));
const mean = (rows: Vectors) => sum(rows).map((v) => v / rows.length);
const minus = (x: readonly number[], y?: readonly number[]) => (y ? x.map((v, j) => v - y[j]!) : x);

/** A side's vector per layer, of its prompts' tokens, in f64. */
type Definition = (base: string, prompts: readonly (readonly number[])[]) => number[][];

const perLayer = (of: (layer: number) => number[]) => Array.from({ length: layers }, (_, l) => of(l));
const ofStates =
  (pick: (states: Vectors) => readonly number[]): Definition =>
  (base, ids) => {
    const states = ids.map((one) => hiddenStates(base, one));
    return perLayer((l) => mean(states.map((one) => [...pick(one[l]!)])));
  };
const last = ofStates((states) => states.at(-1)!);
const definitions: Record<string, Definition> = {
  hidden: last,
  hidden_last: last,
  hidden_avg: ofStates(mean),
  cheap_embed: (base, ids) => {
    const table = fixtureWeights(base).get('model.embed_tokens.weight')!;
    const rows = ids.flat().map((id) => Array.from(table.subarray(id * hidden, (id + 1) * hidden)));
    return perLayer(() => unit(sum(rows)));
  },
};

async function wanted(mode: string, base: string, positive: number[][], negative: number[][] = []) {
  const plus = definitions[mode]!(base, positive);
  const less = negative.length > 0 ? definitions[mode]!(base, negative) : [];
  return plus.map((vector, l) => unit(minus(vector, less[l])));
}

/** Largest distance of a number from the one that it should be. */
function distance(data: Buffer, expected: Vectors): number {
  return Math.max(
    ...floats(data).map((v, i) => Math.abs(v - expected[Math.floor(i / hidden)]![i % hidden]!)),
  );
}

describe('routers of prompts', () => {
  it.each(Object.keys(definitions))('by %s are as defined, with <s> in front', async (mode) => {
    const { run, base } = await moeProject(mode, { extra: f32, lines: negatives });
    const tokenizer = await TextTokenizer.open(await openCheckpoint(base));
    // The tokenizer of the fixture adds <s> itself.
    const encode = (texts: readonly string[]) => texts.map((text) => tokenizer.encode(text));
    const a = await wanted(mode, base, encode(prompts.a));
    const b = await wanted(mode, base, encode(prompts.b), encode(prompts.not));
    const { tensors } = await run();
    for (let l = 0; l < layers; l++) {
      expect(distance(tensors.get(router(l))!.data, [a[l]!, b[l]!])).toBeLessThan(1e-5);
    }
  });

  it('have <s> in front where the tokenizer names it without adding it, and nothing where there is none', async () => {
    const bare = llamaTokenizer({ bare: true });
    const both = { a: ['sea'], b: ['sand'] };
    const letters = (text: string) => [...text].map((c) => 3 + c.charCodeAt(0) - 97);
    for (const [tokenizerConfig, front] of [
      [{ bos_token: '<s>' }, [1]],
      [{ bos_token: null }, []],
    ] as const) {
      const { run, base } = await moeProject('hidden_avg', {
        ...{ extra: f32, tokenizer: bare, tokenizerConfig, prompts: both },
      });
      const { tensors } = await run();
      const sea = await wanted('hidden_avg', base, [[...front, ...letters('sea')]]);
      // "an" is one token.
      const sand = await wanted('hidden_avg', base, [[...front, ...letters('s'), 35, ...letters('d')]]);
      expect(distance(tensors.get(router(2))!.data, [sea[2]!, sand[2]!])).toBeLessThan(1e-5);
    }
  });

  /**
   * The first four numbers of layers 0 and 3, [layer][expert]: get_gate_params of mergekit 0.1.4 with transformers 5.18, which runs
   * the base in bf16. By hidden_avg with prompts of its own, since mergekit counts padding there.
   */
  const mergekits: Record<string, [number, number[][][]]> = {
    hidden: [
      6e-3,
      [
        [
          [-0.1826, -0.0544, 0.0181, 0.1396],
          [-0.0635, 0.2285, 0.2246, 0.0625],
        ],
        [
          [-0.0728, 0.0247, 0.0018, 0.1943],
          [-0.0752, 0.1768, 0.1172, 0.0474],
        ],
      ],
    ],
    hidden_avg: [
      6e-3,
      [
        [
          [-0.0041, 0.2461, -0.0547, 0.0352],
          [0.0025, 0.0116, 0.0771, 0.1191],
        ],
        [
          [-0.0452, 0.1709, 0.1523, 0.0045],
          [0.0459, 0.0435, -0.1182, 0.0383],
        ],
      ],
    ],
    cheap_embed: [
      6e-5,
      [0, 3].map(() => [
        [-0.0671, 0.2508, -0.0594, -0.0306],
        [-0.0025, 0.1091, 0.0425, 0.0074],
      ]),
    ],
  };
  it.each(Object.entries(mergekits))('by %s are those of mergekit', async (mode, [near, numbers]) => {
    const alone = {
      lines: { b: '    negative_prompts: [sand]\n' },
      prompts: { a: prompts.a.slice(0, 1), b: prompts.b },
    };
    const { run } = await moeProject(mode, {
      ...{ extra: f32, lines: negatives },
      ...(mode === 'hidden_avg' && alone),
    });
    const { tensors } = await run();
    for (const [i, l] of [0, 3].entries()) {
      const rows = floats(tensors.get(router(l))!.data);
      for (const [e, expected] of numbers[i]!.entries()) {
        for (const [j, value] of expected.entries()) {
          expect(Math.abs(rows[e * hidden + j]! - value)).toBeLessThan(near);
        }
      }
    }
  });

  it('may be of the empty prompt, which is <s> alone', async () => {
    const { run, base } = await moeProject('hidden', { extra: f32, prompts: { a: [''], b: ['sea'] } });
    const { tensors } = await run();
    const [row] = await wanted('hidden', base, [[1]]);
    expect(distance(tensors.get(router(0))!.data.subarray(0, 4 * hidden), [row!])).toBeLessThan(1e-5);
    const none = await moeProject('hidden', {
      ...{ prompts: { a: [''], b: ['sea'] }, tokenizer: llamaTokenizer({ bare: true }) },
    });
    await expect(none.run()).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(/a in line 4: the prompt "" has no tokens/),
    });
  });

  it('follow their experts when these change places', async () => {
    const { run, root } = await moeProject('hidden');
    const [there, back] = [await run(), await run({ out: join(root, 'back') }, ['b', 'a'])];
    for (let l = 0; l < layers; l++) {
      const [x, y] = [there.tensors.get(router(l))!.data, back.tensors.get(router(l))!.data];
      const half = x.length / 2;
      expect(Buffer.concat([y.subarray(half), y.subarray(0, half)]).equals(x)).toBe(true);
      for (const w of ['w1', 'w2', 'w3']) {
        const name = (e: number) => `model.layers.${l}.block_sparse_moe.experts.${e}.${w}.weight`;
        expect(back.tensors.get(name(1))!.data.equals(there.tensors.get(name(0))!.data)).toBe(true);
      }
    }
  });

  it('need prompts that do not cancel out', async () => {
    const { run, root } = await moeProject('cheap_embed', {
      lines: { b: `    negative_prompts: ${JSON.stringify(prompts.b)}\n` },
    });
    await expect(run()).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(/b in line 6: .* cancel out in layer 0/),
    });
    expect(readdirSync(root).filter((name) => name.includes('out'))).toEqual([]);
  });
});

describe('routers', () => {
  it('at random follow from the seed, whatever the threads, memory and shards', async () => {
    const { run, root } = await moeProject('random', { extra: f32 });
    const data = async (name: string, options: Partial<MoeOptions>) => {
      const { tensors } = await run({ ...options, out: join(root, name) });
      return Buffer.concat([...Array(layers).keys()].map((l) => tensors.get(router(l))!.data));
    };
    const one = await data('1', { threads: 1 });
    expect((await data('2', { threads: 2, shardSize: 100_000, memory: 20e6 })).equals(one)).toBe(true);
    expect((await data('3', { seed: 1 })).equals(one)).toBe(false);
    const values = floats(one);
    const average = values.reduce((all, v) => all + v, 0) / values.length;
    const variance = values.reduce((all, v) => all + v * v, 0) / values.length;
    expect(Math.abs(average)).toBeLessThan(0.2);
    expect(Math.abs(variance - 1)).toBeLessThan(0.3);
    // Layers are drawn apart.
    expect(new Set(values).size).toBe(values.length);
  });

  it('by uniform_random are within 1 / √hidden', async () => {
    const { run } = await moeProject('uniform_random', { extra: f32 });
    const { tensors } = await run();
    const values = Array.from({ length: layers }, (_, l) => floats(tensors.get(router(l))!.data)).flat();
    const bound = 1 / Math.sqrt(hidden);
    expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(bound);
    const variance = values.reduce((all, v) => all + v * v, 0) / values.length;
    expect(variance / (bound ** 2 / 3)).toBeGreaterThan(0.8);
    expect(variance / (bound ** 2 / 3)).toBeLessThan(1.2);
  });
});
