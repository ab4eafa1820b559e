import type { MethodSpec } from './spec.js';

export const uniformSoup: MethodSpec = {
  name: 'uniform_soup',
  title: 'Uniform soup',
  summary: 'The mean of all listed models, for example the runs of a hyperparameter sweep.',
  formula: ['r = Σ x_i / N'],
  source: { title: 'Model soups', arxiv: '2203.05482', section: 'Uniform soup' },
  parameters: [],
  base: 'donor',
  models: { min: 1 },
  differences: [],
  kernel: 'linear',
  derive: ({ inputs }) => ({ parameters: { normalize: 1 }, inputs: inputs.map(() => ({ weight: 1 })) }),
};
