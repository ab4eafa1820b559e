import { checkWeightSum, positiveWeight } from './parameters.js';
import type { MethodSpec } from './spec.js';

export const fisher: MethodSpec = {
  name: 'fisher',
  title: 'Fisher-weighted averaging',
  summary:
    'Averages models element by element, each weighted with its diagonal Fisher information: what a model is certain of counts more. The information is given as one checkpoint per model.',
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
      doc: 'Least information, so that the divisor is never 0.',
    },
  ],
  base: 'donor',
  models: { min: 1 },
  statistics: {
    key: 'fisher',
    doc: 'A checkpoint with tensors of the names and shapes of the model: the mean squared gradient of the log-likelihood.',
    missing: 'error',
    shape: (shape) => shape,
  },
  differences: [],
  check: checkWeightSum,
};
