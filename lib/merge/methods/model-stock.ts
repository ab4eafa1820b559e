import type { MethodSpec } from './spec.js';

export const modelStock: MethodSpec = {
  name: 'model_stock',
  title: 'Model Stock',
  summary:
    'Goes from the base towards the mean of the fine-tuned models by a ratio that follows from the angles between their task vectors: the more they agree, the further.',
  formula: [
    'pairs i < j: c_ij = clamp(<d_i, d_j> / max(‖d_i‖ ‖d_j‖, 1e-6), -1, 1), c = mean',
    't = N c / (1 + (N - 1) c), 0 if the denominator is below 1e-6 in magnitude',
    'r = t mean(x_i) + (1 - t) b',
    'filter_wise: with a t for every vector along the last axis',
  ],
  source: { title: 'Model Stock: all we need is just a few fine-tuned models', arxiv: '2403.19522' },
  parameters: [
    {
      name: 'filter_wise',
      scope: 'global',
      type: 'boolean',
      default: 0,
      doc: 'Angles of each row by itself instead of the whole tensor.',
    },
  ],
  base: 'required',
  models: { min: 2 },
  differences: [
    'Task vectors that point against each other (1 + (N - 1) c = 0) keep the base, reported; mergekit writes infinities and NaN.',
    'A tensor that the base and fewer than two models have is an error; mergekit drops it if it counts as optional.',
  ],
};
