// Whole networks at one point between two models, as a share of the rate that a large matrix product alone reaches in the
// same run: ViT-B/16, ViT-L/16 and a decoder of 1B parameters, of each a few blocks, which are alike.
import { join } from 'node:path';
import { figure } from '../lib/figures.mjs';
import { llama, makePair, vit } from '../lib/network-models.mjs';
import { generator } from '../lib/statistics.mjs';

/** Of the decoder: those of Llama 3.2 1B but for the vocabulary, of which it has 128256. */
const [tokens, vocabulary] = [256, 32000];

export async function shapes({ quick, pairs, directory, log }) {
  const layers = quick ? 1 : 3;
  const large = quick ? 1 : 2;
  const suite = [
    {
      ...{ name: 'ViT-B/16', blocks: `${layers} of 12 blocks`, batch: 16, target: { atLeast: 0.6 } },
      ...{ shape: vit({ width: 768, inner: 3072, heads: 12, layers }), key: `vit-b-near-${layers}` },
    },
    {
      ...{ name: 'ViT-L/16', blocks: `${large} of 24 blocks`, batch: 8, key: `vit-l-near-${large}` },
      shape: vit({ width: 1024, inner: 4096, heads: 16, layers: large }),
    },
    {
      ...{ name: '1B decoder', blocks: `${large} of 16 blocks`, batch: 2, key: `llama-1b-near-${large}` },
      shape: llama({
        ...{ width: 2048, inner: 8192, heads: 32, kvHeads: 8 },
        layers: large,
        vocabulary,
        tokens,
      }),
    },
  ];
  const product = await openProduct();
  const figures = [];
  const details = [];
  for (const { name, blocks, batch, shape, key, target } of suite) {
    const runs = await measure(join(directory, key), name, shape, batch, product, pairs);
    const shares = (of) => of.map((rate, i) => rate / runs.product[i]);
    figures.push(
      figure(`${name}, ${blocks}, batch ${batch}: one point / the product`, '', shares(runs.point), target),
      figure(`${name}: the model alone / the product`, '', shares(runs.plain), target),
      figure(`${name}: one point`, 'GFLOP/s', runs.point),
    );
    details.push({ name, blocks, batch, flops: shape.flops, runs });
    log(`shapes: ${name} done`);
  }
  product.close();
  return { figures, details };
}

/** GFLOP/s of the network alone, at a point, and of the product, one after the other. */
async function measure(root, name, shape, batch, product, pairs) {
  const { NetworkModel } = await import('../../dist/eval/network.js');
  const [zeroshot, finetuned] = await makePair(root, shape);
  const inputs = name.startsWith('ViT') ? pictures(batch) : texts(batch);
  const options = name.startsWith('ViT') ? {} : { outputs: ['loss'] };
  const plain = await NetworkModel.open(zeroshot);
  const path = await NetworkModel.open(zeroshot, finetuned);
  const rate = async (model, alpha) => {
    const start = performance.now();
    await model.forward(inputs, [alpha], options);
    return (batch * shape.flops) / (performance.now() - start) / 1e6;
  };
  await rate(plain, 0);
  await rate(path, 0.5);
  const runs = { product: [], plain: [], point: [] };
  for (let i = 0; i < pairs; i++) {
    const before = await product.rate();
    runs.plain.push(await rate(plain, 0));
    runs.point.push(await rate(path, 0.5));
    // On both sides, so that a machine that slows down is slower for both.
    runs.product.push((before + (await product.rate())) / 2);
  }
  await plain[Symbol.asyncDispose]();
  await path[Symbol.asyncDispose]();
  return runs;
}

function pictures(batch) {
  const random = generator(2);
  const pixels = Float32Array.from({ length: batch * 3 * 224 * 224 }, () => 2 * random() - 1);
  const data = new Uint8Array(pixels.buffer);
  return new Map([['pixel_values', { dtype: 'F32', shape: [batch, 3, 224, 224], data }]]);
}

function texts(batch) {
  const random = generator(2);
  const ids = Int32Array.from({ length: batch * tokens }, () => Math.floor(random() * vocabulary));
  return new Map([['input_ids', { dtype: 'I32', shape: [batch, tokens], data: new Uint8Array(ids.buffer) }]]);
}

/** The product's own rate: F32 by F32, [3152, 768] x [768, 3072], the largest of ViT-B/16 at 16 images. */
async function openProduct() {
  const { Engine, HostBuffer, dtypeByName } = await import('../../dist/native.js');
  const [rows, depth, columns] = [3152, 768, 3072];
  const at = { a: 0, w: 4 * rows * depth, out: 4 * depth * (rows + columns) };
  const memory = new HostBuffer(at.out + 4 * rows * columns);
  new Float32Array(memory.buffer).fill(0.5);
  const engine = new Engine();
  const dtype = dtypeByName('F32').index;
  const a = [dtype, at.a, depth, 1];
  const w = [dtype, at.w, at.w, depth, 1];
  const numbers = [rows, columns, depth, ...a, ...w, 0, -1, -1, at.out, columns];
  const rate = async () => {
    const start = performance.now();
    await engine.matmul(memory, numbers);
    return (2 * rows * depth * columns) / (performance.now() - start) / 1e6;
  };
  await rate();
  const close = () => {
    engine.close();
    memory.release();
  };
  return { rate, close };
}
