import { lambda, optionalWeight } from './parameters.js';
import type { MethodSpec } from './spec.js';

export const negation: MethodSpec = {
  name: 'negation',
  title: 'Negation',
  summary: 'Subtracts task vectors from the base, to make it forget the tasks.',
  formula: ['r = b - lambda Σ w_i d_i'],
  source: {
    title: 'Editing models with task arithmetic',
    arxiv: '2212.04089',
    section: 'Forgetting via negation',
  },
  parameters: [optionalWeight, { ...lambda, doc: 'Factor for what is subtracted.' }],
  base: 'required',
  models: { min: 1 },
  differences: [],
  kernel: 'task_arithmetic',
  derive: ({ parameters, inputs }) => ({
    parameters: { lambda: -parameters.lambda!, normalize: 0 },
    inputs: inputs.map(({ weight }) => ({ weight: weight! })),
  }),
};
