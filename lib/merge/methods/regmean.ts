import { checkWeightSum, positiveWeight } from './parameters.js';
import type { MethodSpec } from './spec.js';

export const regmean: MethodSpec = {
  name: 'regmean',
  title: 'RegMean',
  summary:
    'Merges each linear layer by regression, so that its outputs are as near as possible to those of every model on that model’s own inputs. The inputs are represented by their Gram matrices, given as one checkpoint per model. All other tensors are averaged.',
  formula: [
    'G_i = XᵀX for the inputs X of the layer in model i, off-diagonal elements times alpha',
    'W = (Σ w_i W_i G_i) (Σ w_i G_i)^-1 for weights W_i of shape [out, in]',
    'inputs that were always 0, and tensors without a Gram matrix: Σ w_i x_i / Σ w_i',
  ],
  source: { title: 'Dataless knowledge fusion by merging weights of language models', arxiv: '2212.09849' },
  parameters: [
    positiveWeight,
    {
      name: 'alpha',
      scope: 'global',
      type: 'number',
      default: 0.9,
      range: { min: 0, max: 1 },
      doc: 'Factor for the off-diagonal elements; below 1 it keeps the system well conditioned. The system is solved in f64, in memory for one matrix of in² numbers.',
    },
  ],
  base: 'donor',
  models: { min: 1 },
  statistics: {
    key: 'gram',
    doc: "A checkpoint with a tensor of shape [in, in] under the name of each linear layer's weight.",
    missing: 'mean',
    shape: (shape) => (shape.length === 2 ? [shape[1]!, shape[1]!] : undefined),
  },
  differences: [],
  check: checkWeightSum,
};
