import { sameShape } from '../../checkpoint/tensor.js';
import { splitLayer } from './layer-names.js';
import type { HeaderTensor, ModelHeaders } from './output-tensors.js';
import type { Problems } from './problems.js';

/**
 * Models that are merged tensor by tensor must call them alike. One whose layers have no name in common with those of
 * `first`, or that has other names for what is in one of its modules (`LayerNorm.gamma` for `LayerNorm.weight`), would
 * go into the output beside the others, unmerged.
 */
export function checkCommonNames(
  models: readonly ModelHeaders[],
  belongs: (name: string) => boolean,
  name: (model: ModelHeaders) => string,
  problems: Problems,
): void {
  const layers = new Map(models.map((model) => [model, layersOf(model, belongs)]));
  const [reference] = [...layers].filter(([, names]) => names.length > 0);
  if (!reference) return;
  const [first, theirs] = reference;
  for (const [model, own] of layers) {
    if (model === first) continue;
    const [left, right] =
      own.length > 0 && !own.some((tensor) => first.tensors.has(tensor))
        ? [own[0]!, theirs[0]!]
        : (otherSpelling(model, first, belongs) ?? []);
    if (left === undefined || right === undefined) continue;
    problems.addModel(
      'ERR_MISSING_TENSOR',
      model.path,
      left,
      `${name(model)} and ${name(first)} name their tensors differently: "${left}" in the one, "${right}" in the other`,
      'Save both with the same version of the same library, so that names agree.',
    );
  }
}

function layersOf(model: ModelHeaders, belongs: (name: string) => boolean): string[] {
  return [...model.tensors.keys()].filter((name) => belongs(name) && splitLayer(name));
}

/** Tensors of one module that have no name in common, the last part of the name apart. */
function otherSpelling(
  model: ModelHeaders,
  first: ModelHeaders,
  belongs: (name: string) => boolean,
): [string, string] | undefined {
  const theirs = byModule(first);
  for (const [module, own] of byModule(model)) {
    const other = theirs.get(module);
    if (!other || own.some(({ name }) => first.tensors.has(name) || !belongs(name))) continue;
    const twin = other.find(({ shape }) => sameShape(shape, own[0]!.shape));
    if (twin && !model.tensors.has(twin.name)) return [own[0]!.name, twin.name];
  }
  return undefined;
}

function byModule(model: ModelHeaders): Map<string, HeaderTensor[]> {
  const modules = new Map<string, HeaderTensor[]>();
  for (const tensor of model.tensors.values()) {
    const module = tensor.name.slice(0, Math.max(tensor.name.lastIndexOf('.'), 0));
    const tensors = modules.get(module);
    if (tensors) tensors.push(tensor);
    else modules.set(module, [tensor]);
  }
  return modules;
}
