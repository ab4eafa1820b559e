// Sweeps of whole networks on images, against the network's own outputs in f64.
import { existsSync } from 'node:fs';
import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { writeSafetensors } from '../../lib/checkpoint/write-safetensors.js';
import { ImageLoader } from '../../lib/eval/images/image-loader.js';
import { openImageSet } from '../../lib/eval/images/image-set.js';
import { readImageTransform } from '../../lib/eval/images/transform-file.js';
import { NetworkModel } from '../../lib/eval/network.js';
import { type SweepOptions, sweep } from '../../lib/sweep/sweep.js';
import { noise } from '../support/heads.js';
import { classes, poison, project, size } from '../support/image-project.js';
import { floats } from '../support/networks.js';

/** What the network gives for all images of a directory, by alpha. */
async function outputsOf(
  { zeroshot, finetuned }: { zeroshot: string; finetuned: string },
  path: string,
  name: string,
) {
  const images = await openImageSet({ images: path });
  const count = images.files.length;
  const pixels = new Float32Array(count * 3 * size * size);
  await using loader = new ImageLoader(images, await readImageTransform(zeroshot), { batch: count });
  await loader.next(pixels);
  await using model = await NetworkModel.open(zeroshot, finetuned);
  const inputs = new Map([['pixel_values', floats([count, 3, size, size], pixels)]]);
  const results = await model.forward(inputs, [0, 0.5, 1], { outputs: [name] });
  return { labels: images.labels, outputs: results.map((one) => one.get(name)!.data) };
}

const argmax = (z: ArrayLike<number>) => Array.from(z).indexOf(Math.max(...Array.from(z)));
const logSum = (z: ArrayLike<number>) => {
  const top = Math.max(...Array.from(z));
  return top + Math.log(Array.from(z).reduce((sum, value) => sum + Math.exp(value - top), 0));
};

describe('a sweep on images', () => {
  test('of a ViT has the accuracy and likelihood of its logits at every alpha', async () => {
    const { directory, options } = await project('vit-tiny');
    const result = await sweep({ ...options, out: join(directory, 'out') });
    for (const [s, name] of ['val', 'shift'].entries()) {
      const { labels, outputs } = await outputsOf(options, join(directory, name), 'logits');
      for (const [k, logits] of outputs.entries()) {
        const row = (i: number) => logits.subarray(i * classes, (i + 1) * classes);
        const hits = labels.filter((label, i) => argmax(row(i)) === label).length;
        const nll =
          labels.reduce((sum, label, i) => sum + logSum(row(i)) - row(i)[label]!, 0) / labels.length;
        const metrics = result.sets[s]!.metrics[k]!;
        expect(metrics.top1).toBe(hits / labels.length);
        expect(metrics.nll).toBeCloseTo(nll, 5);
        const other = labels.filter((_, i) => {
          const zero = outputs[0]!.subarray(i * classes, (i + 1) * classes);
          return argmax(row(i)) !== argmax(zero);
        }).length;
        expect(metrics.disagreement!.zeroshot).toBe(other / labels.length);
      }
    }
    expect(result.head).toBeNull();
    expect(result.divergence!.rows.length).toBe(3);
    expect(result.analysis.firmness!.crossValidation!.sets).toEqual(['val']);
  });

  test('of a ViT has no use for the name of a head', async () => {
    const { directory, options } = await project('vit-tiny');
    const out = join(directory, 'out');
    await expect(sweep({ ...options, head: 'classifier.weight', out })).rejects.toMatchObject({
      code: 'ERR_USAGE',
      message: expect.stringContaining('has a head of its own'),
    });
    expect(existsSync(out)).toBe(false);
  });

  test('by Chebyshev points agrees with all alphas evaluated, from a third of the models', async () => {
    const { directory, options } = await project('vit-tiny');
    const grid = { ...options, alphas: '0:1:0.05', divergence: false };
    const all = await sweep({ ...grid, out: join(directory, 'all') });
    const few = await sweep({ ...grid, search: 'chebyshev', out: join(directory, 'few') });
    for (const [s, { metrics, approximation }] of few.sets.entries()) {
      expect(approximation!.forwards).toBeLessThanOrEqual(11);
      expect(approximation!.direct).toBe(0);
      const samples = few.sets[s]!.samples;
      for (const [k, { top1, nll }] of metrics.entries()) {
        const exact = all.sets[s]!.metrics[k]!;
        const doubtful = approximation!.inDoubt * samples * metrics.length;
        expect(Math.abs(top1 - exact.top1) * samples).toBeLessThanOrEqual(doubtful + 1e-9);
        expect(nll).toBeCloseTo(exact.nll!, 3);
      }
    }
    expect(all.sets[0]!.approximation).toBeUndefined();
    const refused = sweep({
      ...grid,
      search: 'chebyshev',
      out: join(directory, 'no'),
      evaluate: async () => ({}),
      sets: [{ name: 'a', role: 'select', kind: 'id' }],
    });
    await expect(refused).rejects.toMatchObject({ code: 'ERR_SWEEP_FILE' });
  });

  test.each(['grid', 'chebyshev'] as const)('of a model with a NaN scores nothing (%s)', async (search) => {
    const { directory, options } = await project('vit-tiny');
    poison(options.finetuned);
    const attempt = sweep({
      ...options,
      search,
      alphas: '0:1:0.05',
      divergence: false,
      out: join(directory, 'out'),
    });
    await expect(attempt).rejects.toMatchObject({
      code: 'ERR_EVALUATION',
      message: expect.stringMatching(/^alpha (1|0\.05), set val: the outputs of 70 of 70 samples are NaN/),
    });
  });

  test('of CLIP takes heads on its embeddings', async () => {
    const { directory, options } = await project('clip-tiny');
    const { labels, outputs } = await outputsOf(options, join(directory, 'val'), 'image_embeds');
    const dimension = outputs[0]!.length / labels.length;
    const random = noise(7);
    const weights = [0, 1].map(() => Float32Array.from({ length: classes * dimension }, () => 5 * random()));
    const paths = ['zs.safetensors', 'ft.safetensors'].map((name) => join(directory, name)) as [
      string,
      string,
    ];
    for (const [i, path] of paths.entries()) {
      const data = new Uint8Array(weights[i]!.buffer);
      await writeSafetensors(path, [
        { name: 'head.weight', dtype: 'F32', shape: [classes, dimension], data },
      ]);
    }
    const heads = { zeroshot: paths[0], finetuned: paths[1] };
    const result = await sweep({ ...options, heads, out: join(directory, 'out') });
    for (const [k, embeddings] of outputs.entries()) {
      const logits = (i: number) =>
        Array.from({ length: classes }, (_, c) => {
          let sum = 0;
          for (let d = 0; d < dimension; d++) {
            const [a, b] = weights.map((w) => w[c * dimension + d]!) as [number, number];
            sum += embeddings[i * dimension + d]! * (a + (k / 2) * (b - a));
          }
          return sum;
        });
      const hits = labels.filter((label, i) => argmax(logits(i)) === label).length;
      const nll =
        labels.reduce((sum, label, i) => sum + logSum(logits(i)) - logits(i)[label]!, 0) / labels.length;
      expect(result.sets[0]!.metrics[k]!.top1).toBe(hits / labels.length);
      expect(result.sets[0]!.metrics[k]!.nll).toBeCloseTo(nll, 5);
    }
  });

  test('goes on where it stopped, and is refused where something does not fit', async () => {
    const { directory, options } = await project('vit-tiny');
    const out = join(directory, 'out');
    const first = await sweep({ ...options, out });
    const again = await sweep({ ...options, out, resume: true });
    expect(again.sets).toEqual(first.sets);
    const attempt = async (change: Partial<SweepOptions>) =>
      await sweep({ ...options, out: join(directory, 'other'), ...change }).then(
        () => 'none',
        (error) => error.code,
      );
    const [val] = options.sets;
    expect(
      await attempt({
        sets: [val!, { ...val!, name: 'b', images: undefined, features: 'x.npy', labels: 'y.npy' }],
      }),
    ).toBe('ERR_SWEEP_FILE');
    expect(await attempt({ sets: [{ ...val!, images: join(directory, 'nowhere') }] })).toBe('ERR_IO');
    await mkdir(join(directory, 'val', 'class99'));
    await cp(join(directory, 'val', 'class0', '0.png'), join(directory, 'val', 'class99', '0.png'));
    expect(await attempt({})).toBe('ERR_DATA_MISMATCH');
    const clip = await project('clip-tiny');
    expect(await attempt({ ...clip.options })).toBe('ERR_NO_SUCH_TENSOR');
  });
});
