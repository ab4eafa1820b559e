import { optionalWeight } from './parameters.js';
import type { MethodSpec } from './spec.js';

export const lines: MethodSpec = {
  name: 'lines',
  title: 'LiNeS',
  summary:
    'Task arithmetic with a factor that grows linearly with the layer: shallow layers, which hold general features, stay near the base, and deep layers take on the tasks.',
  formula: [
    'depth = k / (L - 1) in layer k of L, 0 before the layers, 1 after them',
    'r = b + (alpha + beta depth) Σ w_i d_i',
  ],
  source: {
    title: 'LiNeS: post-training layer scaling prevents forgetting and enhances model merging',
    arxiv: '2410.17146',
  },
  parameters: [
    optionalWeight,
    { name: 'alpha', scope: 'global', type: 'number', doc: 'Factor for the first layer.' },
    { name: 'beta', scope: 'global', type: 'number', doc: 'Added to alpha for the last layer.' },
  ],
  base: 'required',
  models: { min: 1 },
  differences: [],
  kernel: 'task_arithmetic',
  derive: ({ parameters, inputs }, depth) => ({
    parameters: { lambda: parameters.alpha! + parameters.beta! * depth, normalize: 0 },
    inputs: inputs.map(({ weight }) => ({ weight: weight! })),
  }),
};
