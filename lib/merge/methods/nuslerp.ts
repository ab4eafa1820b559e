import { weight } from './parameters.js';
import type { Finding, MethodSpec, TensorValues } from './spec.js';
import { total } from './spec.js';

export const nuslerp: MethodSpec = {
  name: 'nuslerp',
  title: 'NuSLERP',
  summary:
    'Spherical interpolation between two models; the weights set how near the result is to each. With a base_model that is neither of them, their task vectors are interpolated and added to the base. The vectors are whole tensors, or their rows or columns.',
  formula: [
    'v_i = x_i, or d_i with a base',
    't = w_2 / (w_1 + w_2), 0.5 if |w_1 + w_2| < 1e-6',
    'u_i = v_i / max(‖v_i‖, 1e-7), θ = acos clamp(<u_1, u_2>, -1, 1)',
    'r = [sin((1 - t) θ) v_1 + sin(t θ) v_2] / sin θ; (1 - t) v_1 + t v_2 if |sin θ| < 1e-6',
    'with a base: r += b',
  ],
  source: {
    title: 'Shoemake, Animating rotation with quaternion curves',
    url: 'https://doi.org/10.1145/325165.325242',
  },
  parameters: [
    weight,
    {
      name: 'nuslerp_flatten',
      scope: 'global',
      type: 'boolean',
      default: 1,
      doc: 'Take the whole tensor as one vector. Otherwise each vector along the last axis has its own angle.',
    },
    {
      name: 'nuslerp_row_wise',
      scope: 'global',
      type: 'boolean',
      default: 0,
      doc: 'With nuslerp_flatten: false, take vectors along axis 0 instead of the last axis.',
    },
  ],
  base: 'optional',
  models: { min: 2, max: 2 },
  lone: 'copy',
  differences: [
    'Angles are computed in f64, with sums in a fixed order; in bf16, mergekit keeps about three digits of the cosine.',
    'Opposite vectors (within rounding) are interpolated linearly; mergekit divides by a sine of nearly 0.',
    'Weights that sum to 0 count as equal, as in mergekit, but with a warning.',
  ],
  check,
};

function check({ inputs }: TensorValues): Finding | undefined {
  if (inputs.length < 2 || Math.abs(total(inputs, 'weight')) >= 1e-6) return undefined;
  return { warning: 'the weights of nuslerp sum to 0: t is 0.5' };
}
