// A sweep over a head: 50 000 samples, 1000 classes, 512 features, in memory. What is judged is each part against the
// evaluation of one single alpha: one matrix product with the interpolated weights, and all metrics of its logits.
import { figure } from '../lib/figures.mjs';
import { generator } from '../lib/statistics.mjs';

const [samples, classes, dimension] = [50_000, 1000, 512];
const alphas = Array.from({ length: 21 }, (_, k) => k / 20);

export async function heads({ quick, pairs, log }) {
  const { HeadSession } = await import('../../dist/eval/head-session.js');
  const { CurveSession, evaluateCurve } = await import('../../dist/eval/head-curve.js');
  const { evaluateHead, evaluateModel } = await import('../../dist/eval/head-evaluation.js');
  const { analyse } = await import('../../dist/selection/analysis.js');
  const { parseRule } = await import('../../dist/selection/rule.js');
  const { finish } = await import('../../dist/statistics/turns.js');
  const { Engine } = await import('../../dist/native.js');
  const { head, set } = problem(quick ? 5000 : samples);
  const engine = new Engine();
  const rule = { rule: parseRule('max-mean'), folds: 5, replicates: 1000, seed: 0 };

  const timed = async (work) => {
    const start = performance.now();
    await work();
    return (performance.now() - start) / 1000;
  };
  // A new session each time: one that was used before has the logits already.
  const withSession = async (work, options = {}) => {
    const session = new HeadSession(engine, head, [set], { memory: 192 * 2 ** 20, ...options });
    try {
      return await timed(() => work(session));
    } finally {
      session[Symbol.dispose]();
    }
  };
  const curve = () =>
    timed(async () => {
      const session = new CurveSession(engine, head, [set]);
      try {
        await evaluateCurve(session, set, []);
      } finally {
        session[Symbol.dispose]();
      }
    });
  const everything = async (session) => {
    const { intervals } = await evaluateHead(session, set, alphas);
    finish(
      analyse(alphas, [{ name: 'id', role: 'select', kind: 'id', intervals, labels: set.labels }], rule),
    );
  };
  const runs = { one: [], curve: [], everything: [] };
  const one = (session) => evaluateModel(session, set);
  await withSession(one, { alpha: 0.5 });
  await curve();
  await withSession(everything);
  for (let i = 0; i < pairs; i++) {
    runs.one.push(await withSession(one, { alpha: 0.5 }));
    runs.curve.push(await curve());
    runs.everything.push(await withSession(everything));
    const [single, exact, all] = [runs.one, runs.curve, runs.everything].map((of) => of[i].toFixed(3));
    log(`heads ${i + 1}/${pairs}: one ${single} s, curve ${exact} s, all ${all} s`);
  }
  engine.close();
  const ratios = (of) => of.map((seconds, i) => seconds / runs.one[i]);
  const gib = (process.resourceUsage().maxRSS * 1024) / 2 ** 30;
  const figures = [
    figure('exact curve / one alpha', '', ratios(runs.curve), { atMost: 1.5 }),
    figure('curve, metrics at 21 alphas, CV, 1000 bootstraps / one alpha', '', ratios(runs.everything), {
      atMost: 3,
    }),
    figure('one alpha', 's', runs.one),
    figure('peak memory of the process', 'GiB', [gib], { atMost: 1.5 }),
  ];
  return { figures, details: { samples: set.samples, classes, dimension, runs } };
}

function problem(count) {
  const random = generator(1);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const zeroshot = Float32Array.from({ length: classes * dimension }, normal);
  const finetuned = zeroshot.map((w) => w + 0.5 * normal());
  const labels = Int32Array.from({ length: count }, () => Math.floor(random() * classes));
  const features = new Float32Array(count * dimension);
  for (let i = 0; i < count; i++) {
    for (let d = 0; d < dimension; d++) {
      const weight = finetuned[labels[i] * dimension + d];
      features[i * dimension + d] = (normal() + 0.15 * weight) / Math.sqrt(dimension);
    }
  }
  const bytes = new Uint8Array(features.buffer);
  const head = {
    classes,
    dimension,
    dtype: 'F32',
    name: 'head.weight',
    zeroshot: new Uint8Array(zeroshot.buffer),
    finetuned: new Uint8Array(finetuned.buffer),
  };
  const set = {
    name: 'id',
    samples: count,
    dimension,
    featureDtype: 'F32',
    labels,
    readFeatures: async (first, rows, into) =>
      into.set(bytes.subarray(first * dimension * 4, (first + rows) * dimension * 4)),
  };
  return { head, set };
}
