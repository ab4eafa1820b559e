// θ_α on sets of samples, against the network worked out in f64 and against training's own evaluation.
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { EvaluationSet } from '../../lib/eval/data/evaluation-set.js';
import type { Evaluator } from '../../lib/eval/evaluator.js';
import { hostBufferBytes } from '../../lib/native.js';
import { finetune } from '../../lib/train/finetune.js';
import { NetworkEvaluator } from '../../lib/train/network-evaluator.js';
import { bf16, fromBf16, noise } from '../support/heads.js';
import { writeModel } from '../support/models.js';
import { type Tensor, tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';
import { headTensors, mlpTensors, trainingProject } from '../support/training.js';

const [inputs, hidden, classes] = [7, 11, 6];
const epsilon = 1e-5;
const shapes: readonly (readonly [string, readonly number[]])[] = [
  ['0.weight', [hidden, inputs]],
  ['0.bias', [hidden]],
  ['1.weight', [hidden]],
  ['1.bias', [hidden]],
  ['3.weight', [classes, hidden]],
  ['3.bias', [classes]],
];

type Weights = ReadonlyMap<string, Float32Array>;

function weightsOf(seed: number, dtype: 'F32' | 'BF16' = 'F32'): Weights {
  // Seeds of this generator that lie close give numbers that do.
  const random = noise(seed * 7919 * 7919);
  const store = (values: Float32Array) => (dtype === 'BF16' ? fromBf16(bf16(values)) : values);
  return new Map(
    shapes.map(([name, shape]) => [
      name,
      store(Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => 2 * random())),
    ]),
  );
}

const tensorsOf = (weights: Weights, dtype: 'F32' | 'BF16' = 'F32'): Tensor[] =>
  shapes.map(([name, shape]) =>
    tensor(name, dtype, [...shape], dtype === 'F32' ? weights.get(name)! : bf16(weights.get(name)!)),
  );

/** Linear, layer normalisation, ReLU, linear, in f64. */
function logitsOf(
  [zeroshot, finetuned]: readonly [Weights, Weights],
  alpha: number,
  x: Float32Array,
): number[] {
  const at = (name: string, i: number) => {
    const [a, b] = [zeroshot.get(name)![i]!, finetuned.get(name)![i]!];
    return a + alpha * (b - a);
  };
  const linear = (layer: string, from: readonly number[], outputs: number) =>
    Array.from({ length: outputs }, (_, j) =>
      from.reduce(
        (sum, value, l) => sum + value * at(`${layer}.weight`, j * from.length + l),
        at(`${layer}.bias`, j),
      ),
    );
  const z = linear('0', [...x], hidden);
  const mean = z.reduce((a, b) => a + b) / hidden;
  const variance = z.reduce((sum, value) => sum + (value - mean) ** 2, 0) / hidden;
  const h = z.map((value, j) => {
    const normal = (value - mean) / Math.sqrt(variance + epsilon);
    return Math.max(0, normal * at('1.weight', j) + at('1.bias', j));
  });
  return linear('3', h, classes);
}

const argmax = (values: readonly number[]) => values.indexOf(Math.max(...values));

function makeSet(name: string, samples: number, pair: readonly [Weights, Weights], seed: number) {
  const random = noise(seed);
  const features = Float32Array.from({ length: samples * inputs }, () => 2 * random());
  const row = (i: number) => features.subarray(i * inputs, (i + 1) * inputs);
  // What one of the models between them says, so that accuracy is neither chance nor 1.
  const labels = Int32Array.from({ length: samples }, (_, i) => argmax(logitsOf(pair, (i % 5) / 4, row(i))));
  const bytes = new Uint8Array(features.buffer);
  const set: EvaluationSet = {
    ...{ name, role: 'select', kind: 'id', samples, dimension: inputs, featureDtype: 'F32', labels },
    fingerprint: name,
    groups: { names: ['even', 'odd'], ids: Int32Array.from(labels, (_, i) => i % 2) },
    readFeatures: async (first, count, into) => {
      into.set(bytes.subarray(4 * first * inputs, 4 * (first + count) * inputs));
    },
    close: async () => {},
  };
  return { set, row };
}

async function project(dtype: 'F32' | 'BF16' = 'F32') {
  const root = await tempDir();
  const pair = [weightsOf(3, dtype), weightsOf(4, dtype)] as const;
  const [zeroshot, finetuned] = pair.map((weights, i) =>
    writeModel(join(root, String(i)), tensorsOf(weights, dtype), { config: { hidden_act: 'relu' } }),
  ) as [string, string];
  return { root, pair, zeroshot, finetuned, first: makeSet('first', 333, pair, 5) };
}

const alphas = [0, 0.3, 0.5, 0.85, 1];

describe('evaluating the models between two MLPs', () => {
  test.each(['F32', 'BF16'] as const)('is the network worked out in f64, from %s weights', async (dtype) => {
    const { pair, zeroshot, finetuned, first } = await project(dtype);
    const second = makeSet('second', 65, pair, 6);
    const evaluator: Evaluator = await NetworkEvaluator.open({
      ...{ zeroshot, finetuned },
      sets: [first.set, second.set],
    });
    const results = await evaluator.evaluate(alphas);
    await evaluator.close();
    for (const [k, alpha] of alphas.entries()) {
      for (const [s, { set, row }] of [first, second].entries()) {
        const { score, correct, metrics } = results[k]![s]!;
        let [hits, nll, moved, even] = [0, 0, { zeroshot: 0, finetuned: 0 }, 0];
        for (let i = 0; i < set.samples; i++) {
          const z = logitsOf(pair, alpha, row(i));
          const right = Number(argmax(z) === set.labels[i]);
          expect((correct![i >>> 5]! >>> (i & 31)) & 1, `sample ${i} at ${alpha}`).toBe(right);
          hits += right;
          even += i % 2 === 0 ? right : 0;
          const top = Math.max(...z);
          nll += Math.log(z.reduce((sum, value) => sum + Math.exp(value - top), 0)) + top;
          nll -= z[set.labels[i]!]!;
          moved.zeroshot += Number(argmax(z) !== argmax(logitsOf(pair, 0, row(i))));
          moved.finetuned += Number(argmax(z) !== argmax(logitsOf(pair, 1, row(i))));
        }
        expect(hits).toBeGreaterThan(0.2 * set.samples);
        expect(score).toBe(hits / set.samples);
        expect(metrics!.top1).toBe(score);
        expect(metrics!.nll!).toBeCloseTo(nll / set.samples, 4);
        expect(metrics!.disagreement).toEqual({
          zeroshot: moved.zeroshot / set.samples,
          finetuned: moved.finetuned / set.samples,
        });
        const evens = Math.ceil(set.samples / 2);
        expect(metrics!.groups![0]).toEqual({ name: 'even', samples: evens, top1: even / evens });
        expect(correct!.length).toBe(Math.ceil(set.samples / 32));
      }
    }
  });

  test('is the same with any threads, in any calls, and whatever was asked before', async () => {
    const { zeroshot, finetuned, pair } = await project();
    // More samples than lie in memory at once.
    const { set } = makeSet('large', 5000, pair, 8);
    const evaluate = async (threads: number, calls: readonly (readonly number[])[]) => {
      const evaluator = await NetworkEvaluator.open({ zeroshot, finetuned, sets: [set], threads });
      const results = new Map<number, unknown>();
      for (const call of calls) {
        for (const [k, row] of (await evaluator.evaluate(call)).entries()) results.set(call[k]!, row);
      }
      await evaluator.close();
      return alphas.map((alpha) => results.get(alpha));
    };
    const reference = await evaluate(1, [alphas]);
    expect(await evaluate(3, [alphas])).toEqual(reference);
    expect(await evaluate(2, [[0.5, 0.3], [1], [0.85, 0]])).toEqual(reference);
  });

  test('agrees with what fine-tuning measures at both ends', async () => {
    const options = await trainingProject(mlpTensors([12, 9, 4]), { config: { hidden_act: 'relu' } });
    const { root: _root, ...training } = options;
    const { initial, epochs, directory } = await finetune(training);
    const heldOut = training.heldOut!;
    const set: EvaluationSet = {
      ...{ ...heldOut, name: 'held-out', role: 'select', kind: 'id', fingerprint: '' },
      close: async () => {},
    };
    const { zeroshot } = training;
    const evaluator = await NetworkEvaluator.open({ zeroshot, finetuned: directory, sets: [set] });
    const [[before], [after]] = (await evaluator.evaluate([0, 1])) as [
      Awaited<ReturnType<NetworkEvaluator['evaluate']>>[number],
      Awaited<ReturnType<NetworkEvaluator['evaluate']>>[number],
    ];
    await evaluator.close();
    const last = epochs.at(-1)!.heldOut!;
    expect(last.top1).toBeGreaterThan(initial!.top1);
    expect(before!.score).toBe(initial!.top1);
    expect(after!.score).toBe(last.top1);
    expect(before!.metrics.nll).toBeCloseTo(initial!.loss, 5);
    expect(after!.metrics.nll).toBeCloseTo(last.loss, 5);
  });

  test('identifies its models', async () => {
    const { zeroshot, finetuned, first } = await project();
    const identity = async (...ends: [string, string]) => {
      const evaluator = await NetworkEvaluator.open({
        zeroshot: ends[0],
        finetuned: ends[1],
        sets: [first.set],
      });
      const text = JSON.stringify(evaluator.identity);
      await evaluator.close();
      return text;
    };
    const text = await identity(zeroshot, finetuned);
    expect(await identity(zeroshot, finetuned)).toBe(text);
    expect(await identity(finetuned, zeroshot)).not.toBe(text);
    expect(await identity(zeroshot, zeroshot)).not.toBe(text);
  });
});

describe('what cannot be evaluated', () => {
  const open = async (change: {
    tensors?: readonly Tensor[];
    set?: Partial<EvaluationSet>;
    activation?: string;
  }) => {
    const { root, zeroshot, finetuned, first, pair } = await project();
    const other = change.tensors
      ? writeModel(join(root, 'other'), change.tensors, {
          config: { hidden_act: change.activation ?? 'relu' },
        })
      : finetuned;
    if (change.activation && !change.tensors) {
      writeModel(other, tensorsOf(pair[1]), { config: { hidden_act: change.activation } });
    }
    return await NetworkEvaluator.open({
      ...{ zeroshot, finetuned: other },
      sets: [{ ...first.set, ...change.set }],
    });
  };
  const mlp = (change: (tensors: Tensor[]) => Tensor[]) => change(tensorsOf(weightsOf(4)));

  test('ends that are not the same network are refused by name', async () => {
    await expect(open({ tensors: headTensors(6, 7) })).rejects.toMatchObject({ code: 'ERR_MISSING_TENSOR' });
    const wider = [tensor('0.weight', 'F32', [hidden, inputs + 1], new Float32Array(hidden * (inputs + 1)))];
    await expect(open({ tensors: mlp(([, ...rest]) => [...wider, ...rest]) })).rejects.toMatchObject({
      code: 'ERR_SHAPE_MISMATCH',
      tensor: '0.weight',
    });
    await expect(open({ tensors: mlp((all) => all.slice(0, -1)) })).rejects.toMatchObject({
      code: 'ERR_MISSING_TENSOR',
      tensor: '3.bias',
    });
    await expect(open({ activation: 'gelu' })).rejects.toMatchObject({ code: 'ERR_SHAPE_MISMATCH' });
  });

  test('weights that are not finite are refused, and no memory stays', async () => {
    const before = hostBufferBytes();
    const poisoned = mlp(([first, ...rest]) => [
      tensor('0.weight', 'F32', [...first!.shape], new Float32Array(hidden * inputs).fill(Number.NaN)),
      ...rest,
    ]);
    await expect(open({ tensors: poisoned })).rejects.toMatchObject({ code: 'ERR_DATA', tensor: '0.weight' });
    expect(hostBufferBytes()).toBe(before);
  });

  test('outputs that overflow are no hits: an error tells the set, the alpha and how many', async () => {
    const { root, pair, zeroshot, first } = await project();
    const large = new Map(pair[1]).set(
      '3.weight',
      pair[1].get('3.weight')!.map((value) => 1.5e38 * value),
    );
    const config = { config: { hidden_act: 'relu' } };
    const finetuned = writeModel(join(root, 'large'), tensorsOf(large), config);
    const before = hostBufferBytes();
    const evaluator = await NetworkEvaluator.open({ zeroshot, finetuned, sets: [first.set] });
    const refusal = {
      code: 'ERR_EVALUATION',
      message: expect.stringMatching(/^alpha 1, set first: the outputs of \d+ of 333 samples are NaN/),
      hint: expect.stringContaining('wisemerge diff'),
      details: { alpha: 1, set: 'first', samples: expect.any(Number), first: expect.any(Number) },
    };
    await expect(evaluator.evaluate([0, 1])).rejects.toMatchObject(refusal);
    // What both ends predict is part of every evaluation.
    await expect(evaluator.evaluate([0])).rejects.toMatchObject(refusal);
    await evaluator.close();
    expect(hostBufferBytes()).toBe(before);
  });

  test('sets that do not fit are refused by name', async () => {
    for (const set of [
      { dimension: inputs + 1 },
      { samples: 0, labels: new Int32Array(0) },
      { labels: new Int32Array(333).fill(classes) },
    ]) {
      await expect(open({ set })).rejects.toMatchObject({
        code: 'ERR_DATA_MISMATCH',
        message: expect.stringContaining('first'),
      });
    }
  });

  test('an aborted evaluation rejects with the reason, and the next is whole', async () => {
    const { zeroshot, finetuned, first } = await project();
    const evaluator = await NetworkEvaluator.open({ zeroshot, finetuned, sets: [first.set] });
    const reason = new Error('enough');
    await expect(evaluator.evaluate(alphas, AbortSignal.abort(reason))).rejects.toBe(reason);
    const [row] = await evaluator.evaluate([0]);
    expect(row![0]!.metrics.disagreement.zeroshot).toBe(0);
    await evaluator.close();
  });
});
