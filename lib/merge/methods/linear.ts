import { checkWeightSum, normalize, weight } from './parameters.js';
import type { MethodSpec } from './spec.js';

export const linear: MethodSpec = {
  name: 'linear',
  title: 'Linear',
  summary:
    'The weighted mean of the models, element by element. With two models and normalised weights, this is the interpolation of WiSE-FT at alpha = w_2 / (w_1 + w_2).',
  formula: ['r = Σ w_i x_i', 'normalize: r /= Σ w_i'],
  source: { title: 'Model soups', arxiv: '2203.05482' },
  parameters: [weight, normalize(1)],
  base: 'donor',
  models: { min: 1 },
  differences: [
    'Computed in f32 (f64 for F64) with one rounding. In bf16, mergekit rounds weights, products and sum: with weights 0.3 and 0.7, a fifth of its elements are not the nearest bf16 value.',
    'base_model is averaged only if it is listed among the models. mergekit includes an unlisted one if weight is given at the top level.',
    'Weights that sum to 0 are an error; mergekit writes infinities and NaN.',
  ],
  check: checkWeightSum,
};
