import type { MethodSpec } from './spec.js';

export const warp: MethodSpec = {
  name: 'warp',
  title: 'WARP',
  summary:
    'Averages on the sphere the task vectors of policies trained from one initialisation (base_model), then goes part of the way from the initialisation to that average.',
  formula: [
    's_1 = d_1',
    's_m = slerp(s_(m-1), d_m, 1 / m) for m = 2 .. N, with the angle and the edge rules of nuslerp',
    'r = b + eta s_N',
  ],
  source: {
    title: 'WARP: on the benefits of weight averaged rewarded policies',
    arxiv: '2406.16768',
    section: 'Spherical linear interpolation; linear interpolation towards initialization',
  },
  parameters: [
    {
      name: 'eta',
      scope: 'global',
      type: 'number',
      default: 1,
      doc: '0 is the initialisation, 1 the spherical average.',
    },
  ],
  base: 'required',
  models: { min: 1 },
  differences: [],
};
