import type { MethodSpec } from './spec.js';

export const modelStock: MethodSpec = {
  name: 'model_stock',
  title: 'Model Stock',
  summary:
    'Moves from the base towards the mean of the fine-tuned models, the further the more their task vectors agree (by the angles between them).',
  formula: [
    'pairs i < j: c_ij = clamp(<d_i, d_j> / max(‖d_i‖ ‖d_j‖, 1e-6), -1, 1), c = mean',
    't = N c / (1 + (N - 1) c), 0 if the denominator is below 1e-6 in magnitude',
    'r = t mean(x_i) + (1 - t) b',
    'filter_wise: one t for every vector along the last axis',
  ],
  source: { title: 'Model Stock: all we need is just a few fine-tuned models', arxiv: '2403.19522' },
  parameters: [
    {
      name: 'filter_wise',
      scope: 'global',
      type: 'boolean',
      default: 0,
      doc: 'Compute angles for each row instead of the whole tensor.',
    },
  ],
  base: 'required',
  models: { min: 2 },
  differences: [
    'Where task vectors oppose each other (1 + (N - 1) c = 0), the base is kept and reported; mergekit writes infinities and NaN.',
    'A tensor that the base and only one model have is an error; mergekit drops it if it counts as optional.',
  ],
};
