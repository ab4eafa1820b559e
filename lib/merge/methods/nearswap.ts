import type { MethodSpec } from './spec.js';

export const nearswap: MethodSpec = {
  name: 'nearswap',
  title: 'NearSwap',
  summary:
    'Takes elements from the other model where it is near the base, and less of them the further the two are apart.',
  formula: ['w = clamp(t / max(|b - x|, 1e-6), 0, 1)', 'r = w x + (1 - w) b'],
  source: {
    title: 'alchemonaut, QuartetAnemoi',
    url: 'https://huggingface.co/alchemonaut/QuartetAnemoi-70B-t0.0001',
  },
  parameters: [
    {
      name: 't',
      scope: 'global',
      type: 'number',
      doc: 'Elements that differ by t or less are taken in full.',
    },
  ],
  base: 'required',
  models: { min: 1, max: 1 },
  differences: [],
};
