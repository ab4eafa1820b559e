import { density, normalize, rescale, weight } from './parameters.js';
import type { MethodSpec } from './spec.js';
import { consensusFormula, familyDifferences, familyParameters, rescaleLine } from './task-vector.js';

export const ties: MethodSpec = {
  name: 'ties',
  title: 'TIES',
  summary:
    'Trims each task vector to its largest elements, elects a sign per element by the weighted sum, and averages the elements that agree with it, so that redundant changes and conflicting signs do not dilute the result.',
  formula: [
    "d_i' = d_i on its int(density n) elements of largest magnitude, else 0; of equal magnitudes, the lowest index first",
    rescaleLine,
    ...consensusFormula("d_i'"),
  ],
  source: {
    title: 'TIES-Merging: Resolving interference when merging models',
    arxiv: '2306.01708',
    section: 'Trim, elect sign and merge',
  },
  parameters: [weight, density, normalize(1), rescale(0), ...familyParameters],
  base: 'required',
  models: { min: 1 },
  differences: [
    ...familyDifferences,
    'Of equal magnitudes at the threshold, which are the rule in bf16, those with the lowest index are kept; in mergekit an unstable sort decides.',
    'A tensor so small that int(density n) is 0 keeps the base and is reported; mergekit fails.',
  ],
};
