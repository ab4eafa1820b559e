import type { MethodSpec } from '../methods/spec.js';
import type { SliceConfig } from './config.js';
import { type ModelReference, modelKey } from './model-reference.js';

/** The sources of a slice that `method` merges: a base takes part without being one of them. */
export function mergedSources(
  { sources }: SliceConfig,
  base: ModelReference | undefined,
  method: MethodSpec,
): SliceConfig['sources'] {
  const key = base && modelKey(base);
  return method.base === 'donor' ? sources : sources.filter(({ model }) => modelKey(model) !== key);
}

/** Whether a slice has the layers of one model, where `method` merges several: they are copied. */
export function isCopied(slice: SliceConfig, base: ModelReference | undefined, method: MethodSpec): boolean {
  if (slice.sources.length !== 1 || !slice.sources[0]!.layers) return false;
  const merged = mergedSources(slice, base, method).length;
  return merged < method.models.min || (base !== undefined && method.base !== 'donor' && merged === 1);
}
