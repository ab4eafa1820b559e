import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { ioError, WisemergeError } from '../errors.js';
import { readTextFile } from '../files/read-whole.js';

/** Limits against hostile indexes; the largest index seen in the wild has about 60 MB and 497 000 tensors. */
const maxIndexBytes = 250_000_000;
const maxShards = 10_000;

/** A `*.safetensors.index.json`: which shard holds which tensor. */
export interface ShardIndex {
  readonly path: string;
  /** Shard base names, in order of first appearance. */
  readonly shards: readonly string[];
  /** Tensor name to shard base name. */
  readonly weightMap: ReadonlyMap<string, string>;
}

/**
 * Reads and checks an index. Shard names must be plain base names beside the index: nothing is followed out
 * of its directory. Throws WisemergeError ERR_IO or ERR_INDEX.
 */
export async function readShardIndex(path: string): Promise<ShardIndex> {
  const fail = (message: string, hint?: string): never => {
    throw new WisemergeError('ERR_INDEX', `${path}: ${message}`, { file: path, ...(hint && { hint }) });
  };
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > maxIndexBytes) fail(`the index has ${size} bytes; the limit is ${maxIndexBytes}`);
    text = await readTextFile(path);
  } catch (error) {
    throw ioError(error, 'read', path);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    fail(`not valid JSON (${(error as Error).message})`, 'The file is damaged: download it again.');
  }
  const map = isRecord(json) ? json.weight_map : undefined;
  if (!isRecord(map)) return fail('"weight_map" is missing or not an object');

  const weightMap = new Map<string, string>();
  const shards = new Set<string>();
  for (const [tensor, shard] of Object.entries(map)) {
    if (typeof shard !== 'string') return fail(`the shard of tensor "${tensor}" is not a string`);
    if (!isPlainFileName(shard)) {
      return fail(
        `the shard of tensor "${tensor}" is ${JSON.stringify(shard)}, which is not a plain file name`,
        'Shards must lie beside their index; an index that points elsewhere may be hostile.',
      );
    }
    weightMap.set(tensor, shard);
    shards.add(shard);
  }
  if (shards.size === 0) fail('"weight_map" is empty');
  if (shards.size > maxShards) fail(`names ${shards.size} shards; the limit is ${maxShards}`);
  return { path, shards: [...shards], weightMap };
}

/** A base name inside the index's own directory: no separator, no NUL, not `.` or `..`. */
export function isPlainFileName(name: string): boolean {
  return (
    name !== '' &&
    name !== '.' &&
    name !== '..' &&
    !/[/\\\0]/.test(name) &&
    basename(name) === name &&
    dirname(name) === '.'
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
