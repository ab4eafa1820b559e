import type { MethodSpec } from './spec.js';

export const passthrough: MethodSpec = {
  name: 'passthrough',
  title: 'Passthrough',
  summary:
    'Copies the tensors of one model, optionally scaled. With slices, it stacks layers of several models.',
  formula: ['r = x, or scale x'],
  source: { title: 'mergekit', url: 'https://github.com/arcee-ai/mergekit' },
  parameters: [
    {
      name: 'scale',
      scope: 'model',
      type: 'number',
      optional: true,
      doc: 'Factor; without it, bytes are copied.',
    },
  ],
  base: 'donor',
  models: { min: 1, max: 1 },
  differences: ['A layer may be repeated without further options; the output holds a copy for each.'],
};
