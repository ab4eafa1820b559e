import type { MethodSpec } from './spec.js';

export const slerp: MethodSpec = {
  name: 'slerp',
  title: 'SLERP',
  summary:
    'Spherical interpolation between base_model (t = 0) and the other model (t = 1), along the arc between the two tensors as vectors. The order in which they are listed does not matter.',
  formula: [
    'unit(v) = v / ‖v‖ if ‖v‖ > 1e-8, else v',
    'c = clamp(<unit(b), unit(x)>, -1, 1)',
    '|c| > 0.9995: r = (1 - t) b + t x',
    'else θ = acos c, r = [sin((1 - t) θ) b + sin(t θ) x] / sin θ',
  ],
  source: {
    title: 'Shoemake, Animating rotation with quaternion curves',
    url: 'https://doi.org/10.1145/325165.325242',
  },
  parameters: [
    {
      name: 't',
      scope: 'global',
      type: 'number',
      doc: '0 is base_model, 1 the other model. Values outside [0, 1] continue the arc.',
    },
  ],
  base: 'required',
  models: { min: 1, max: 1 },
  lone: 'copy',
  differences: [
    'The cosine is clamped, so that parallel tensors never give NaN, and is summed in a fixed order on every device.',
    'A tensor that only one of the models has is copied, with a warning.',
  ],
};
