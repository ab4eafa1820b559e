import type { MethodSpec, ParameterSpec } from './spec.js';

const epsilon: ParameterSpec = {
  name: 'epsilon',
  scope: 'global',
  type: 'number',
  default: 1e-5,
  range: { min: 0 },
  doc: 'Changes up to this magnitude are ignored.',
};
const source = { title: 'Behavior knowledge merge in reinforced agentic models', arxiv: '2601.13572' };
const differences = [
  'Models are summed in the order of the configuration, so that repeated runs give equal bytes.',
];

export const ram: MethodSpec = {
  name: 'ram',
  title: 'RAM',
  summary:
    'Averages the changes that several models made to the same element, and keeps a change that only one model made at full size.',
  formula: ['nz_i = |d_i| > epsilon, cnt = Σ nz_i', 'r = b + Σ d_i nz_i / max(cnt, 1)'],
  source,
  parameters: [epsilon],
  base: 'required',
  models: { min: 1 },
  differences,
};

export const ramPlusTl: MethodSpec = {
  name: 'ramplus_tl',
  title: 'RAM+, tensor level',
  summary:
    'RAM that also enlarges the changes that only one model made, by the ratio of shared to unique changes of that model in the tensor.',
  formula: [
    'nz_i = |d_i| > epsilon, cnt = Σ nz_i',
    'shared_i, unique_i = number of positions of nz_i with cnt > 1 and with cnt = 1',
    'L_i = 1 + r clamp(shared_i / max(unique_i, epsilon), 0, alpha)',
    'r = b + Σ d_i nz_i (L_i where cnt = 1, 1 / cnt where cnt > 1)',
  ],
  source,
  parameters: [
    {
      name: 'r',
      scope: 'global',
      type: 'number',
      default: 0.1,
      doc: 'How much to enlarge unique changes.',
    },
    {
      name: 'alpha',
      scope: 'global',
      type: 'number',
      default: 0.2,
      range: { min: 0 },
      doc: 'Upper bound of the ratio of shared to unique changes.',
    },
    epsilon,
  ],
  base: 'required',
  models: { min: 1 },
  differences: [
    ...differences,
    'The output has the configured dtype; mergekit writes F32 whatever dtype says, unless there is an out_dtype.',
  ],
};
