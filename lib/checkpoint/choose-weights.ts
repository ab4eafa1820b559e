import { join } from 'node:path';
import { WisemergeError } from '../errors.js';
import { knownStems, parseWeightName } from './weight-names.js';

/**
 * The safetensors file or index that is the model of a directory, of the names in it; undefined where there is none.
 * In this order: an index without a variant, a complete file of a known stem, the only file or variant there is. Stems are
 * known in order, too.
 *
 * Throws WisemergeError: ERR_NOT_A_CHECKPOINT (several of equal rank), ERR_INDEX (shards without their index).
 */
export function chooseWeights(directory: string, names: readonly string[]): string | undefined {
  const indexes = names.filter((name) => name.endsWith('.safetensors.index.json'));
  const index = chooseOne(directory, indexes, (name) => name.split('.')[0]!);
  if (index !== undefined) return index;

  const weights = names.filter((name) => name.endsWith('.safetensors'));
  for (const stem of knownStems) {
    if (weights.includes(`${stem}.safetensors`)) return `${stem}.safetensors`;
    // Else what ranks behind it, such as an adapter, would be taken for the model.
    const shard = weights.find((name) => isPlainShard(stem, name));
    if (shard) throw withoutIndex(directory, shard);
  }

  const variants = variantsOf(names);
  const orphan = weights.find((name) => isShard(name) && !variants.has(variantKey(name)));
  if (orphan) throw withoutIndex(directory, orphan);
  const others = weights.filter((name) => !isShard(name) && !variants.has(variantKey(name)));
  return chooseOne(directory, [...variants.values(), ...others], (name) => name);
}

/** The only candidate, or the one with a known stem; several of equal rank are an error. */
export function chooseOne(
  directory: string,
  candidates: readonly string[],
  stem: (name: string) => string,
  stems: readonly string[] = knownStems,
): string | undefined {
  if (candidates.length <= 1) return candidates[0];
  for (const known of stems) {
    const match = candidates.find((name) => stem(name) === known);
    if (match) return match;
  }
  throw new WisemergeError(
    'ERR_NOT_A_CHECKPOINT',
    `${directory} holds several models: ${candidates.slice(0, 8).join(', ')}`,
    { file: directory, hint: 'Give the path of the one file or index you mean.' },
  );
}

/** By key, the complete file of each variant, or its index, which wins. */
function variantsOf(names: readonly string[]): Map<string, string> {
  const variants = new Map<string, string>();
  for (const kind of ['whole', 'index']) {
    for (const name of names) {
      const parts = parseWeightName(name);
      if (parts?.variant === undefined || parts.kind !== kind) continue;
      if (parts.extension === 'safetensors') variants.set(parts.index, name);
    }
  }
  return variants;
}

/** One for all files of a variant of a stem. */
function variantKey(name: string): string {
  return parseWeightName(name)?.index ?? name;
}

/** Of the model itself, not of a variant. */
function isPlainShard(stem: string, name: string): boolean {
  const parts = parseWeightName(name);
  return parts?.kind === 'shard' && parts.stem === stem && parts.variant === undefined;
}

function isShard(name: string): boolean {
  return parseWeightName(name)?.kind === 'shard' || /-\d{5,6}-of-\d{5,6}\.safetensors$/.test(name);
}

function withoutIndex(directory: string, shard: string): WisemergeError {
  const index = parseWeightName(shard)?.index ?? '*.safetensors.index.json';
  return new WisemergeError('ERR_INDEX', `${directory} holds the shard ${shard} but no ${index}`, {
    file: join(directory, shard),
    hint: 'Download the index that belongs to the shards.',
  });
}
