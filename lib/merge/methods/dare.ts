import { checkDeltaWeightSum, density, normalize, rescale, weight } from './parameters.js';
import type { MethodSpec } from './spec.js';
import {
  consensusFormula,
  familyDifferences,
  familyParameters,
  rescaleLine,
  sumDifference,
  sumFormula,
} from './task-vector.js';

const mask = "d_i' = d_i where a random bit of probability density is set, else 0";
const source = {
  title: 'Language models are Super Mario: absorbing abilities from homologous models as a free lunch',
  arxiv: '2311.03099',
  section: 'DARE',
};
const differences = [
  ...familyDifferences,
  'Random bits come from a counter keyed by seed, tensor name, model and element, so they do not depend on device, threads or other tensors.',
];

export const dareLinear: MethodSpec = {
  name: 'dare_linear',
  title: 'DARE, linear',
  summary:
    'Drops random elements of each task vector, rescales the rest, and adds the weighted sum to the base.',
  formula: [mask, rescaleLine, ...sumFormula("d_i'")],
  source,
  parameters: [weight, density, normalize(0), rescale(1), ...familyParameters],
  base: 'required',
  models: { min: 1 },
  differences: [...differences, sumDifference],
  check: checkDeltaWeightSum,
};

export const dareTies: MethodSpec = {
  name: 'dare_ties',
  title: 'DARE, with the sign consensus of TIES',
  summary:
    'Drops random elements of each task vector, rescales the rest, and sums the elements that agree with the sign elected by the weighted sum.',
  formula: [mask, rescaleLine, ...consensusFormula("d_i'")],
  source,
  parameters: [weight, density, normalize(0), rescale(1), ...familyParameters],
  base: 'required',
  models: { min: 1 },
  differences,
};
