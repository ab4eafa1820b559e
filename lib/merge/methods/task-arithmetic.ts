import { checkDeltaWeightSum, density, normalize, rescale, weight } from './parameters.js';
import type { MethodSpec } from './spec.js';
import { familyDifferences, familyParameters, sumDifference, sumFormula } from './task-vector.js';

export const taskArithmetic: MethodSpec = {
  name: 'task_arithmetic',
  title: 'Task arithmetic',
  summary:
    'Adds weighted task vectors (the differences between fine-tuned models and their base) to the base. A negative weight removes a task.',
  formula: sumFormula('d_i'),
  source: { title: 'Editing models with task arithmetic', arxiv: '2212.04089', section: 'Task vectors' },
  parameters: [
    weight,
    { ...density, ignored: 'task arithmetic keeps every element' },
    normalize(0),
    { ...rescale(0), ignored: 'nothing is dropped, so there is nothing to rescale' },
    ...familyParameters,
  ],
  base: 'required',
  models: { min: 1 },
  differences: [...familyDifferences, sumDifference],
  check: checkDeltaWeightSum,
};
