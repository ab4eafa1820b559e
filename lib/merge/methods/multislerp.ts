import { weight, weightsCancel } from './parameters.js';
import type { Finding, MethodSpec, TensorValues } from './spec.js';

export const multislerp: MethodSpec = {
  name: 'multislerp',
  title: 'Multi-SLERP',
  summary:
    'Spherical interpolation of any number of models: directions are averaged in the tangent space of the sphere at the weighted mean direction, lengths linearly. With a base_model, task vectors are interpolated instead of models.',
  formula: [
    'X_i = x_i, or d_i with a base; normalize_weights: w_i /= Σ w_i',
    'n_i = ‖X_i‖, u_i = X_i / (n_i + eps), m = Σ w_i u_i',
    '‖m‖ < eps: r = Σ w_i X_i for two models or where no n_i is above eps, else an error',
    'm /= ‖m‖, T = Σ w_i (u_i - <u_i, m> m), a = ‖T‖ + eps',
    'r = (m cos a + T sin a / a) Σ w_i n_i; with a base: r += b',
  ],
  source: { title: 'Goddard, Multi-SLERP', url: 'https://goddard.blog' },
  parameters: [
    weight,
    {
      name: 'normalize_weights',
      scope: 'global',
      type: 'boolean',
      default: 1,
      doc: 'Divide the weights by their sum.',
    },
    {
      name: 'eps',
      scope: 'global',
      type: 'number',
      default: 1e-8,
      range: { min: 0, open: 'min' },
      doc: 'Keeps divisions by lengths finite.',
    },
  ],
  base: 'optional',
  models: { min: 1 },
  lone: 'copy',
  differences: [
    'Models are summed in the order of the configuration, so that repeated runs give equal bytes; mergekit iterates over a hash set.',
    'Weights that sum to 0 are an error with normalize_weights; mergekit writes NaN.',
    'Tensors that no model changed, and zero tensors, are kept for any number of models; mergekit fails for more than two.',
  ],
  check,
};

function check({ parameters, inputs }: TensorValues): Finding | undefined {
  if (inputs.length < 2 || parameters.normalize_weights === 0 || !weightsCancel(inputs)) return undefined;
  return {
    error: 'the weights sum to 0, which nothing can be divided by',
    fix: 'Change a weight, or set normalize_weights: false.',
  };
}
