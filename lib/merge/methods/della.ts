import { checkDeltaWeightSum, density, normalize, rescale, weight } from './parameters.js';
import type { Finding, MethodSpec, ParameterSpec, TensorValues } from './spec.js';
import {
  consensusFormula,
  familyDifferences,
  familyParameters,
  rescaleLine,
  sumDifference,
  sumFormula,
} from './task-vector.js';

const epsilon: ParameterSpec = {
  name: 'epsilon',
  scope: 'model',
  type: 'number',
  default: 0.15,
  doc: 'Half the range of probabilities: the smallest element of a row is kept with probability density - epsilon, the largest with density + epsilon.',
};

const mask = [
  'per row of m elements: rank 1 to m ascending by |d_i|, p = density - epsilon + 2 epsilon (rank - 1) / (m - 1); m = 1: p = density',
  "d_i' = d_i with probability p, else 0",
];
const source = {
  title: 'DELLA-Merging: reducing interference in model merging through magnitude-based sampling',
  arxiv: '2406.11617',
  section: 'MagPrune',
};
const differences = [
  ...familyDifferences,
  'Rows of one element are kept with probability density; mergekit fails on them. In tensors of more than two dimensions, a row is everything under one index of axis 0.',
  'density - epsilon and density + epsilon must lie inside (0, 1), which is checked before any work.',
];

export const della: MethodSpec = {
  name: 'della',
  title: 'DELLA',
  summary:
    'Drops random elements of each task vector, small ones more likely than large ones, rescales the rest, and averages the elements that agree with the sign elected by the weighted sum.',
  formula: [...mask, rescaleLine, ...consensusFormula("d_i'")],
  source,
  parameters: [weight, density, epsilon, normalize(1), rescale(1), ...familyParameters],
  base: 'required',
  models: { min: 1 },
  differences,
  check: checkProbabilities,
};

export const dellaLinear: MethodSpec = {
  name: 'della_linear',
  title: 'DELLA, linear',
  summary:
    'Drops random elements of each task vector, small ones more likely than large ones, rescales the rest, and adds the weighted sum to the base.',
  formula: [...mask, rescaleLine, ...sumFormula("d_i'")],
  source,
  parameters: [weight, density, epsilon, normalize(0), rescale(1), ...familyParameters],
  base: 'required',
  models: { min: 1 },
  differences: [...differences, sumDifference],
  check: (values) => checkProbabilities(values) ?? checkDeltaWeightSum(values),
};

function checkProbabilities({ inputs }: TensorValues): Finding | undefined {
  for (const { density: middle, epsilon } of inputs) {
    // A negative epsilon prefers the smallest elements.
    const half = Math.abs(epsilon!);
    // The delta is used as it is from density 1 on, and left out at 0.
    if (middle! <= 0 || middle! >= 1 || (middle! - half > 0 && middle! + half < 1)) continue;
    return {
      error: `density ${middle} and epsilon ${epsilon} give probabilities from ${decimal(middle! - half)} to ${decimal(middle! + half)}; they must lie inside (0, 1)`,
      fix: `Choose an epsilon below ${decimal(Math.min(middle!, 1 - middle!))}.`,
    };
  }
  return undefined;
}

/** Without the digits that subtraction leaves: 1 - 0.9 is 0.09999999999999998. */
const decimal = (value: number): number => Number(value.toPrecision(12));
