import type { MethodSpec, ParameterValues } from './spec.js';

export const ema: MethodSpec = {
  name: 'ema',
  title: 'Exponential moving average',
  summary:
    'The moving average of the checkpoints of a run, in the order in which they are listed, starting from base_model.',
  formula: ['r_0 = b', 'r_i = (1 - rate) r_(i-1) + rate x_i', 'so r = b + Σ rate (1 - rate)^(N - i) d_i'],
  source: {
    title: 'WARP: on the benefits of weight averaged rewarded policies',
    arxiv: '2406.16768',
    section: 'Exponential moving average',
  },
  parameters: [
    {
      name: 'rate',
      scope: 'global',
      type: 'number',
      range: { min: 0, max: 1 },
      doc: 'How far each checkpoint pulls the average; 1 - rate is usually called the decay.',
    },
  ],
  base: 'required',
  models: { min: 1 },
  differences: [],
  kernel: 'task_arithmetic',
  derive: ({ parameters, inputs }) => ({
    parameters: { lambda: 1, normalize: 0 },
    inputs: inputs.map((_, i): ParameterValues => {
      const rate = parameters.rate!;
      return { weight: rate * (1 - rate) ** (inputs.length - 1 - i) };
    }),
  }),
};
