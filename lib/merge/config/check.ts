import type { MethodSpec } from '../methods/spec.js';
import type { MergeConfig, ModuleConfig, SliceConfig } from './config.js';
import { isCopied, mergedSources } from './lone-source.js';
import { formatModelReference, modelKey } from './model-reference.js';
import type { Problems } from './problems.js';

/** Checks what follows from the method: the base, the number of models, parameters that nobody gives. */
export function checkConfig(config: MergeConfig, method: MethodSpec, problems: Problems): void {
  const bases = config.modules.flatMap(({ slices }) => slices.map(({ base }) => base ?? config.base));
  if (method.base === 'required' && bases.some((base) => base === undefined)) {
    problems.add(
      config.methodPlace,
      `${method.name} needs base_model`,
      'Add `base_model:` at the top level.',
    );
    return;
  }
  for (const module of config.modules) {
    for (const slice of module.slices) checkSlice(config, module, slice, method, problems);
  }
}

function checkSlice(
  config: MergeConfig,
  module: ModuleConfig,
  slice: SliceConfig,
  method: MethodSpec,
  problems: Problems,
): void {
  const base = slice.base ?? config.base;
  if (isCopied(slice, base, method)) return;
  const baseKey = base && modelKey(base);
  const isBase = (model: SliceConfig['sources'][number]['model']): boolean => modelKey(model) === baseKey;
  const [listed, twice] = slice.sources.filter(({ model }) => isBase(model));
  if (twice && method.base !== 'donor') {
    problems.add(
      twice.place,
      `base_model ${formatModelReference(base!)} is listed twice`,
      'Keep the range of its layers that the others are compared with.',
    );
  }
  const layered = slice.sources.some(({ layers }) => layers !== undefined);
  if (base && !listed && layered && method.base !== 'donor') {
    problems.add(
      slice.place,
      `base_model ${formatModelReference(base)} is not among the sources of this slice`,
      'Add it with the range of its layers that belong to it.',
    );
  }
  if (base && !listed && method.base === 'donor' && method.models.max === undefined) {
    problems.warn(
      config.methodPlace,
      `base_model ${formatModelReference(base)} is not listed: it gives configuration and tokenizer and is not averaged`,
    );
  }
  const others = mergedSources(slice, base, method);
  const { min, max } = method.models;
  if (others.length < min || others.length > (max ?? Number.POSITIVE_INFINITY)) {
    const wanted = max === undefined ? `${min} or more` : max === min ? `${min}` : `${min} to ${max}`;
    problems.add(
      slice.place,
      `${method.name} takes ${wanted} ${wanted === '1' ? 'model' : 'models'}${method.base === 'donor' ? '' : ' besides base_model'}; here are ${others.length}`,
      'Change the list of models, or the method.',
    );
  }
  const required = method.parameters.filter((spec) => spec.default === undefined && !spec.optional);
  for (const { name, scope, doc } of required) {
    const levels = [slice.parameters, module.parameters, config.parameters];
    if (levels.some((table) => Object.hasOwn(table, name))) continue;
    if (scope === 'global') {
      problems.add(
        config.methodPlace,
        `${method.name} needs the parameter ${name}`,
        `Add it under \`parameters\`. ${doc}`,
      );
      continue;
    }
    for (const { place, model, parameters } of others) {
      if (Object.hasOwn(parameters, name)) continue;
      problems.add(
        place,
        `${formatModelReference(model)} has no ${name}, which ${method.name} needs`,
        `Add \`parameters: {${name}: …}\` to it, or one for all at the top level.`,
      );
    }
  }
}
