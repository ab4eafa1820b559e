import type { MethodSpec } from './spec.js';

export const arceeFusion: MethodSpec = {
  name: 'arcee_fusion',
  title: 'Arcee Fusion',
  summary:
    'Takes from the other model only the changes that stand out, by the product of their size and the divergence between the rows that they are in.',
  formula: [
    'δ = |x - b|; p, q = softmax of x and b over the last axis, each + 1e-8; KL = Σ p ln(p / q) over it',
    'score = δ KL',
    'threshold = median + 1.5 (Q3 - Q1) of the scores; a quantile q is sorted[int(q (n - 1))]',
    'r = x where score >= threshold (up to rounding), else b',
  ],
  source: {
    title: 'Arcee Fusion, in MergeKit 0.1',
    url: 'https://www.arcee.ai/blog/meet-mergekit-v0-1-arcee-fusion-expanded-model-support-multi-gpu-acceleration',
  },
  parameters: [],
  base: 'required',
  models: { min: 1, max: 1 },
  differences: [
    'The output has the configured dtype; mergekit writes F32 whatever dtype says, unless there is an out_dtype.',
    'Quantiles are exact; mergekit draws random samples above a million elements.',
  ],
};
