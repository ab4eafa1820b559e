import { int8Mask } from './parameters.js';
import type { MethodSpec } from './spec.js';

export const sce: MethodSpec = {
  name: 'sce',
  title: 'SCE',
  summary:
    'Select, calculate, erase: keeps the elements in which the task vectors vary most, weights the models by the energy of those, and erases elements that disagree with the elected sign.',
  formula: [
    'select_topk < 1: v = variance of d over the models; keep the int(nonzero(v) select_topk) positions of largest v in every d_i',
    "v_i = mean(d_i'^2) / Σ mean(d_j'^2), 1/N if the sum is below 1e-6",
    "m_i = 1 where d_i' has the sign of Σ d_j' (>= 0 counts as +), else 0",
    "r = b + Σ d_i' v_i m_i / max(Σ v_i m_i, 1e-6)",
  ],
  source: { title: 'FuseChat: knowledge fusion of chat models', arxiv: '2408.07990' },
  parameters: [
    {
      name: 'select_topk',
      scope: 'global',
      type: 'number',
      default: 1,
      range: { min: 0 },
      doc: 'Fraction of the varying positions to keep.',
    },
    int8Mask,
  ],
  base: 'required',
  models: { min: 1 },
  differences: [
    'If nothing is selected, the base is kept; mergekit writes a tensor with one dimension too many.',
    'Of equal variances, those with the lowest index are kept. Models are summed in the order of the configuration.',
  ],
};
