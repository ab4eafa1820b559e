import type { MethodSpec } from './spec.js';

export const wiseFt: MethodSpec = {
  name: 'wise_ft',
  title: 'WiSE-FT',
  summary:
    'Interpolates between the zero-shot model (base_model, alpha = 0) and the model fine-tuned from it (alpha = 1), to keep much of the gain of fine-tuning and the robustness of the zero-shot model.',
  formula: ['r = b + alpha (x - b)'],
  source: { title: 'Robust fine-tuning of zero-shot models', arxiv: '2109.01903' },
  parameters: [
    { name: 'alpha', scope: 'global', type: 'number', doc: '0 is base_model, 1 the fine-tuned model.' },
  ],
  base: 'required',
  models: { min: 1, max: 1 },
  differences: [],
};
