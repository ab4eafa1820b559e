import { listNames } from './list-names.js';
import { placeOf } from './output-shapes.js';
import type { Problems } from './problems.js';
import type { ResolvedTensor } from './resolved.js';

/** Warns of layers that keep the dtypes of the models that they come from, where these differ. */
export function warnMixedDtypes(tensors: readonly ResolvedTensor[], problems: Problems): void {
  if (new Set(tensors.map(({ dtype }) => dtype)).size === 1) return;
  const first = new Map<string, ResolvedTensor>();
  const mixed = new Map<string, string[]>();
  for (const tensor of tensors) {
    if (!tensor.layer) continue;
    const place = placeOf(tensor.name);
    const other = first.get(place);
    if (!other) first.set(place, tensor);
    // A model may itself keep some layers in another dtype.
    else if (other.dtype !== tensor.dtype && modelOf(other) !== modelOf(tensor)) {
      const dtypes = `${tensor.dtype} where others are ${other.dtype}`;
      const names = mixed.get(dtypes);
      if (names) names.push(tensor.name);
      else mixed.set(dtypes, [tensor.name]);
    }
  }
  for (const [dtypes, names] of mixed) {
    problems.warnings.push(
      `${problems.file}: ${names.length} tensors of layers are ${dtypes}, as their models have them; out_dtype gives all of them one: ${listNames(names)}`,
    );
  }
}

function modelOf({ base, inputs }: ResolvedTensor): number | undefined {
  return (base ?? inputs[0])?.model;
}
