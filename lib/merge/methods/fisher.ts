import { checkWeightSum, positiveWeight } from './parameters.js';
import type { MethodSpec } from './spec.js';

export const fisher: MethodSpec = {
  name: 'fisher',
  title: 'Fisher-weighted averaging',
  summary:
    'Averages the models element by element, weighted by their diagonal Fisher information, so that each model counts most where it is most certain. The information is given as one checkpoint per model.',
  formula: ['F_i = max(fisher_i, epsilon)', 'r = Σ w_i F_i x_i / Σ w_i F_i'],
  source: { title: 'Merging models with Fisher-weighted averaging', arxiv: '2111.09832' },
  parameters: [
    positiveWeight,
    {
      name: 'epsilon',
      scope: 'global',
      type: 'number',
      default: 1e-6,
      range: { min: 0, open: 'min' },
      doc: 'Lower bound of the information, so that the divisor is never 0.',
    },
  ],
  base: 'donor',
  models: { min: 1 },
  statistics: {
    key: 'fisher',
    doc: 'A checkpoint with the tensor names and shapes of the model, which holds the mean squared gradient of the log-likelihood.',
    missing: 'error',
    shape: (shape) => shape,
  },
  differences: [],
  check: checkWeightSum,
};
