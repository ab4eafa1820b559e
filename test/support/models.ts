import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readTensors, type StoredTensor, type Tensor, writeStored } from './safetensors.js';

export interface ModelOptions {
  readonly config?: Record<string, unknown>;
  readonly metadata?: Record<string, string>;
  readonly pad?: number;
  /** Further files, by relative path. */
  readonly files?: Record<string, string | Buffer>;
}

/** A directory with one weight file; gives its path. */
export function writeModel(
  directory: string,
  tensors: readonly Tensor[],
  options: ModelOptions = {},
): string {
  mkdirSync(directory, { recursive: true });
  writeStored(join(directory, 'model.safetensors'), tensors, options);
  writeRest(directory, options);
  return directory;
}

/** A directory with an index and one weight file per group of tensors; gives its path. */
export function writeShards(
  directory: string,
  shards: readonly (readonly Tensor[])[],
  options: ModelOptions & { stem?: string; index?: (map: Record<string, string>) => unknown } = {},
): string {
  mkdirSync(directory, { recursive: true });
  const { stem = 'model', index = (map) => ({ metadata: {}, weight_map: map }) } = options;
  const map: Record<string, string> = {};
  for (const [i, tensors] of shards.entries()) {
    const name = shardName(stem, i + 1, shards.length);
    writeStored(join(directory, name), tensors, options);
    for (const { name: tensor } of tensors) map[tensor] = name;
  }
  writeFileSync(join(directory, `${stem}.safetensors.index.json`), JSON.stringify(index(map)));
  writeRest(directory, options);
  return directory;
}

export function shardName(stem: string, i: number, n: number): string {
  return `${stem}-${String(i).padStart(5, '0')}-of-${String(n).padStart(5, '0')}.safetensors`;
}

function writeRest(directory: string, { config, files = {} }: ModelOptions): void {
  const all = { ...files, ...(config && { 'config.json': JSON.stringify(config, null, 2) }) };
  for (const [name, content] of Object.entries(all)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), content);
  }
}

/** All tensors of a model directory, whatever its files are called. */
export function readModel(directory: string): Map<string, StoredTensor> {
  const names = readdirSync(directory).filter((name) => name.endsWith('.safetensors'));
  return readTensors(...names.sort().map((name) => join(directory, name)));
}

/** Relative paths of all files below a directory, hidden ones included. */
export function listFiles(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .sort();
}

/** Name, dtype, shape and bytes of every tensor, for comparing whole models. */
export function contents(tensors: ReadonlyMap<string, Tensor>): Record<string, string> {
  const pairs = [...tensors.values()].map(({ name, dtype, shape, data }): [string, string] => [
    name,
    `${dtype} [${shape}] ${data.toString('base64')}`,
  ]);
  return Object.fromEntries(pairs.sort(([a], [b]) => (a < b ? -1 : 1)));
}
