import type { MethodSpec } from './spec.js';

export const karcher: MethodSpec = {
  name: 'karcher',
  title: 'Karcher mean',
  summary:
    'The point on the sphere with the least sum of squared angles to all models (the Riemannian centre of mass), found by iteration and scaled to their mean length. All models count equally.',
  formula: [
    'n_i = ‖x_i‖, u_i = x_i / n_i, α = 1 / number of models with n_i > tol (the others have no direction)',
    'u = Σ α u_i, normalised; the first u_i if its length is below tol',
    'at most max_iter times: c_i = clamp(<u, u_i>, -1, 1), θ_i = acos c_i',
    '  T = Σ α θ_i / sin θ_i (u_i - c_i u) over θ_i >= tol; stop if ‖T‖ < tol',
    '  u = cos ‖T‖ u + sin ‖T‖ T / ‖T‖, normalised',
    'r = (Σ n_i / N) u',
  ],
  source: {
    title: 'Karcher, Riemannian center of mass and mollifier smoothing',
    url: 'https://doi.org/10.1002/cpa.3160300502',
  },
  parameters: [
    {
      name: 'max_iter',
      scope: 'global',
      type: 'integer',
      default: 10,
      range: { min: 0 },
      doc: 'Largest number of iterations.',
    },
    {
      name: 'tol',
      scope: 'global',
      type: 'number',
      default: 1e-5,
      range: { min: 0, open: 'min' },
      doc: 'Angles and lengths below it count as 0.',
    },
  ],
  base: 'donor',
  models: { min: 1 },
  lone: 'copy',
  differences: [
    'Only listed models are averaged; mergekit includes base_model as well.',
    'Opposite directions, which have no mean on the sphere, are an error; mergekit divides by a number near 0.',
  ],
};
