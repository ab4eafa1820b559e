// A network at one and at eight points between two models, against one of the models alone; and the two ways to
// interpolate the weights of a product, at few and at many rows; and a curve of 21 points from Chebyshev points.
// Weights are random, of the shape of ViT-B/16.
import { join } from 'node:path';
import { figure } from '../lib/figures.mjs';
import { makePair, vit } from '../lib/network-models.mjs';
import { generator } from '../lib/statistics.mjs';

const [width, inner, size, classes] = [768, 3072, 224, 1000];
const batch = 16;

export async function networks({ quick, pairs, directory, log }) {
  const { NetworkModel } = await import('../../dist/eval/network.js');
  const { logitsAlong } = await import('../../dist/eval/logit-path.js');
  // A forward pass of all 12 blocks at eight points would take minutes; blocks are alike.
  const layers = quick ? 1 : 3;
  const shape = vit({ width, inner, heads: 12, layers });
  const [zeroshot, finetuned] = await makePair(join(directory, `vit-b-near-${layers}`), shape);
  const random = generator(2);
  const pixels = Float32Array.from({ length: batch * 3 * size * size }, () => 2 * random() - 1);
  const data = new Uint8Array(pixels.buffer);
  const inputs = new Map([['pixel_values', { dtype: 'F32', shape: [batch, 3, size, size], data }]]);

  const plain = await NetworkModel.open(zeroshot);
  const path = await NetworkModel.open(zeroshot, finetuned);
  const points = Array.from({ length: 8 }, (_, k) => (k + 1) / 10);
  const timed = async (model, alphas) => {
    const start = performance.now();
    await model.forward(inputs, alphas);
    return (performance.now() - start) / 1000;
  };
  await timed(plain, [0]);
  await timed(path, [0.5]);
  const baseline = process.resourceUsage().maxRSS;
  await timed(path, points);
  const grown = ((process.resourceUsage().maxRSS - baseline) * 1024) / 2 ** 20;
  const runs = { eight: [], plain: [], one: [] };
  const half = async () => {
    let seconds = 0;
    for (let n = 0; n < points.length / 2; n++) seconds += await timed(plain, [0]);
    return seconds;
  };
  for (let i = 0; i < pairs; i++) {
    // As many forwards of one model as there are points, around them: what slows the machine slows both.
    const before = await half();
    runs.eight.push(await timed(path, points));
    runs.plain.push((before + (await half())) / points.length);
    runs.one.push(await timed(path, [0.5]));
    const seconds = Object.values(runs).map((of) => of[i].toFixed(2));
    log(
      `networks ${i + 1}/${pairs}: eight ${seconds[0]} s, plain ${seconds[1]} s, one point ${seconds[2]} s`,
    );
  }
  // Once: it takes as long as many of the runs above.
  const start = performance.now();
  const grid = Array.from({ length: 21 }, (_, k) => k / 20);
  const forward = async (alphas) => {
    const results = await path.forward(inputs, alphas);
    return results.map((outputs) => outputs.get('logits').data);
  };
  const { forwards, inDoubt, direct } = await logitsAlong(forward, grid, classes);
  const curve = (performance.now() - start) / 1000;
  const single = [];
  for (let i = 0; i < 3; i++) single.push(await timed(path, [0.5]));
  await plain[Symbol.asyncDispose]();
  await path[Symbol.asyncDispose]();

  const figures = [
    figure('one point / the model alone', '', ratios(runs.one, runs.plain), { atMost: 1.15 }),
    figure('eight points / eight times the model alone', '', ratios(runs.eight, runs.plain, 8), {
      atMost: 1.05,
    }),
    figure(
      'curve of 21 points by Chebyshev / 21 times one',
      '',
      single.map((seconds) => curve / (21 * seconds)),
      { atMost: 0.45 },
    ),
    figure('the model alone', 's', runs.plain),
    figure('memory that eight points add to one', 'MiB', [grown]),
  ];
  const ways = {};
  for (const rows of quick ? [32, 2048] : [1, 32, 256, 1024, 2048]) {
    const { fused, scratch, alone } = await productTimes(rows, pairs);
    ways[rows] = { fused, scratch, alone };
    figures.push(
      figure(`product of ${rows} rows: fused / scratch`, '', ratios(fused, scratch)),
      figure(`product of ${rows} rows: scratch / without interpolation`, '', ratios(scratch, alone)),
    );
  }
  const chebyshev = { forwards, inDoubt, direct };
  return { figures, details: { layers, batch, runs, ways, chebyshev } };
}

const ratios = (of, by, times = 1) => of.map((seconds, i) => seconds / (times * by[i]));

/** Seconds of products with [inner, width] matrices of bf16, from more of them than the caches hold. */
async function productTimes(rows, pairs) {
  const { Engine, HostBuffer, dtypeByName } = await import('../../dist/native.js');
  const { Network } = await import('../../dist/native/network.js');
  const [count, matrices] = [width * inner, 8];
  const random = generator(3);
  const weights = new HostBuffer(2 * matrices * 2 * count);
  const codes = new Uint16Array(weights.buffer);
  for (let i = 0; i < codes.length; i++) codes[i] = 0x3c00 + Math.floor(random() * 256);
  const dtype = dtypeByName('BF16').index;
  const parameters = Array.from({ length: matrices }, (_, i) => ({
    count,
    zeroshot: { dtype, offset: 4 * i * count },
    finetuned: { dtype, offset: (4 * i + 2) * count },
  }));
  const memory = new HostBuffer(4 * rows * (width + matrices * inner));
  new Float32Array(memory.buffer).fill(0.5);
  const values = [
    { count: rows * width, source: 'floats', offset: 0 },
    ...parameters.map((_, i) => {
      return { count: rows * inner, source: 'computed', offset: 4 * rows * (width + i * inner) };
    }),
  ];
  const ops = parameters.map((_, i) => {
    return { kind: 'linear', out: i + 1, values: [0], parameters: [i], sizes: [rows, width, inner, 0] };
  });
  const engine = new Engine();
  const times = { fused: [], scratch: [], alone: [] };
  const timed = async (way, alpha) => {
    const network = new Network(engine, weights, parameters, { way });
    const start = performance.now();
    await network.run(memory, { values, ops }, new Float64Array(matrices).fill(alpha), 1);
    const seconds = (performance.now() - start) / 1000;
    network.close();
    return seconds;
  };
  await timed('fused', 0.3);
  await timed('scratch', 0.3);
  for (let i = 0; i < pairs; i++) {
    times.fused.push(await timed('fused', 0.3));
    times.scratch.push(await timed('scratch', 0.3));
    times.alone.push(await timed('fused', 0));
  }
  engine.close();
  weights.release();
  memory.release();
  return times;
}
