// The task-vector family: sparsify, rescale to the L1 norm of before, weigh, mix by sum or by sign consensus, add to
// the base (Ilharco et al., 2023; Yadav et al., 2023, section 3; Yu et al., 2024; Davari and Belilovsky, 2024; Deep et
// al., 2024), in the order of steps that docs/methods.md states.
import { deltas, given, type Oracle, type OracleTensor, plusDeltas, total, weightsOf } from './oracle.js';
import { magnitude, magprune, outliers, random, type Sparsifier } from './sparsifiers.js';

interface Family {
  readonly sparsify?: Sparsifier;
  readonly consensus: boolean;
  readonly normalize: 0 | 1;
  readonly rescale: 0 | 1;
}

/** The deltas after sparsifying, and the factor that rescaling gives each. */
export function sparsified(tensor: OracleTensor, { sparsify, rescale: initial }: Family) {
  const { name, shape, seed, inputs, parameters } = tensor;
  const rescale = given(parameters, 'rescale', initial) === 1;
  return deltas(tensor).map((delta, model) => {
    const own = inputs[model]!.parameters;
    const density = given(own, 'density', 1);
    if (!sparsify || density >= 1) return { kept: delta, factor: 1 };
    const gamma = given(own, 'gamma', 0.01);
    const epsilon = given(own, 'epsilon', 0.15);
    const mask = sparsify({ delta, density, gamma, epsilon, shape, seed, name, model });
    const kept = delta.map((d, e) => (mask[e] ? d : 0));
    const [before, after] = [delta, kept].map((d) => d.reduce((sum, value) => sum + Math.abs(value), 0));
    return { kept, factor: !rescale || before! < 1e-7 || after! < 1e-7 ? 1 : before! / after! };
  });
}

function taskVectors(family: Family): Oracle {
  return (tensor) => {
    const weights = weightsOf(tensor);
    const normalize = given(tensor.parameters, 'normalize', family.normalize) === 1;
    const lambda = given(tensor.parameters, 'lambda', 1);
    const changes = sparsified(tensor, family);
    // A model of weight 0 is as good as absent.
    const present = changes.flatMap(({ kept, factor }, i) =>
      weights[i] === 0 ? [] : [{ kept, weight: weights[i]!, factor: factor * weights[i]! }],
    );
    if (!family.consensus) {
      const divisor = normalize ? total(weights) : 1;
      return plusDeltas(
        tensor.base!,
        present.map(({ factor }) => (lambda * factor) / divisor),
        present.map(({ kept }) => kept),
      );
    }
    const value = Float64Array.from(tensor.base!);
    const scale = tensor.base!.map(Math.abs);
    const scaled = present.map(({ kept, factor }) => kept.map((d) => (d === 0 ? 0 : factor * d)));
    for (let e = 0; e < value.length; e++) {
      let [sum, size] = [0, 0];
      for (const changes of scaled) {
        sum += changes[e]!;
        size += Math.abs(changes[e]!);
      }
      if (sum !== 0 && Math.abs(sum) < 3e-7 * size)
        throw new Error(`the sign at ${e} is a matter of rounding`);
      const elected = sum >= 0 ? 1 : -1;
      let [mixed, divisor] = [0, 0];
      for (const [i, changes] of scaled.entries()) {
        if (Math.sign(changes[e]!) !== elected) continue;
        mixed += changes[e]!;
        divisor += present[i]!.weight;
      }
      if (normalize && divisor !== 0) mixed /= divisor;
      value[e]! += lambda * (Number.isNaN(sum) ? sum : mixed);
      scale[e]! += Math.abs(lambda) * (normalize && divisor !== 0 ? Math.abs(mixed) : size);
    }
    return { value, scale };
  };
}

const plain = { consensus: false, normalize: 0, rescale: 0 } as const;
export const families = {
  task_arithmetic: plain,
  ties: { sparsify: magnitude, consensus: true, normalize: 1, rescale: 0 },
  dare_linear: { ...plain, sparsify: random, rescale: 1 },
  dare_ties: { sparsify: random, consensus: true, normalize: 0, rescale: 1 },
  breadcrumbs: { ...plain, sparsify: outliers },
  breadcrumbs_ties: { sparsify: outliers, consensus: true, normalize: 0, rescale: 0 },
  della: { sparsify: magprune, consensus: true, normalize: 1, rescale: 1 },
  della_linear: { ...plain, sparsify: magprune, rescale: 1 },
} as const satisfies Readonly<Record<string, Family>>;

export const taskVectorOracles = Object.fromEntries(
  Object.entries(families).map(([name, family]) => [name, taskVectors(family)]),
) as Record<keyof typeof families, Oracle>;
