// Models of very many tensors: work grows with their number, and lists of them are no arguments of a call.
import { expect, it } from 'vitest';
import { explainMerge } from '../../../lib/merge/config/explain.js';
import type { ResolvedTensor } from '../../../lib/merge/config/resolved.js';
import { headers, resolveText } from '../../support/headers.js';

/** Weights that cancel out are remarked on for every tensor. */
const text =
  'merge_method: nuslerp\nmodels: [{model: a, parameters: {weight: 1}}, {model: b, parameters: {weight: -1}}]\n';
const resolve = (names: readonly string[]) => {
  const shapes = Object.fromEntries(names.map((name) => [name, [1]]));
  return resolveText(text, [headers('a', shapes), headers('b', shapes)]);
};

it('a remark on each of 40,000 costs no more than each of them', () => {
  const { warnings } = resolve(Array.from({ length: 40_000 }, (_, i) => `expert_${i}.w`));
  expect(warnings).toEqual([expect.stringMatching(/sum to 0.* and 39997 more/)]);
}, 8_000);

/** More than a call can have arguments. */
it.each([
  [130_000, 'outside layers', [undefined], /^expert_0\.w, .* and 129996 more$/],
  [65_000, 'of each of two layers', [0, 1], /^layers 0-1$/],
])(
  '%d tensors %s are explained',
  (each, _, layers, where) => {
    const merge = resolve(['w']);
    const tensors = layers.flatMap((index) =>
      Array.from({ length: each }, (__, i): ResolvedTensor => {
        const name = index === undefined ? `expert_${i}.w` : `layers.${index}.expert_${i}.w`;
        const layer = index === undefined ? {} : { layer: { stack: 'layers', index, count: 2 } };
        const inputs = merge.tensors[0]!.inputs.map((input) => ({ ...input, tensor: name }));
        return { ...merge.tensors[0]!, ...layer, name, inputs };
      }),
    );
    const { groups } = explainMerge({ ...merge, tensors });
    expect(groups).toMatchObject([{ where: expect.stringMatching(where), tensors: tensors.length }]);
  },
  30_000,
);
