import { checkDeltaWeightSum, density, normalize, rescale, weight } from './parameters.js';
import type { MethodSpec, ParameterSpec } from './spec.js';
import {
  consensusFormula,
  familyDifferences,
  familyParameters,
  rescaleLine,
  sumDifference,
  sumFormula,
} from './task-vector.js';

const gamma: ParameterSpec = {
  name: 'gamma',
  scope: 'model',
  type: 'number',
  default: 0.01,
  range: { min: 0, max: 1 },
  doc: 'Fraction of the elements, the largest ones, to drop as outliers.',
};

const mask = [
  'target = int(density n), top = int(gamma n), bot = n - target - top; if bot < 0: top += bot, bot = 0',
  "d_i' = d_i on the ascending ranks bot to n - top - 1 of (|d_i|, index), else 0",
];
const source = {
  title: 'Model Breadcrumbs: scaling multi-task model merging with sparse masks',
  arxiv: '2312.06795',
};
const differences = [
  ...familyDifferences,
  'With no outliers to drop (gamma 0, or fewer than 100 elements at the default gamma), the delta is kept; mergekit loses all of it.',
  'Equal magnitudes are ranked by index.',
];

export const breadcrumbs: MethodSpec = {
  name: 'breadcrumbs',
  title: 'Model Breadcrumbs',
  summary:
    'Drops both the smallest and the largest elements of each task vector, and adds the weighted sum of the rest to the base.',
  formula: [...mask, rescaleLine, ...sumFormula("d_i'")],
  source,
  parameters: [weight, density, gamma, normalize(0), rescale(0), ...familyParameters],
  base: 'required',
  models: { min: 1 },
  differences: [...differences, sumDifference],
  check: checkDeltaWeightSum,
};

export const breadcrumbsTies: MethodSpec = {
  name: 'breadcrumbs_ties',
  title: 'Model Breadcrumbs, with the sign consensus of TIES',
  summary:
    'Drops both the smallest and the largest elements of each task vector, and sums those of the rest that agree with the sign elected by the weighted sum.',
  formula: [...mask, rescaleLine, ...consensusFormula("d_i'")],
  source,
  parameters: [weight, density, gamma, normalize(0), rescale(0), ...familyParameters],
  base: 'required',
  models: { min: 1 },
  differences,
};
