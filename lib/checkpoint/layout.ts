import { WisemergeError } from '../errors.js';
import type { DTypeName } from '../native.js';
import type { Checkpoint } from './checkpoint.js';
import { hubHeaderBytes } from './safetensors-file.js';
import { elementCount, itemSize, type TensorInfo } from './tensor.js';
import { withoutVariant } from './weight-names.js';

/** Data of an output file starts at a multiple of this, so that direct I/O and mapping readers see aligned
 * tensors. The format allows the padding (trailing spaces of the header). */
const dataAlignment = 4096;

/** One tensor of an output file. */
export interface OutputTensor {
  readonly name: string;
  readonly dtype: DTypeName;
  readonly shape: readonly number[];
  /** Absolute byte offset in the output file. */
  readonly offset: number;
  readonly bytes: number;
}

/** One output file, known to the byte before any data is computed. */
export interface OutputFile {
  readonly name: string;
  /** The 8-byte length, the JSON and its padding: everything before the data. */
  readonly header: Uint8Array;
  readonly tensors: readonly OutputTensor[];
  /** Total size in bytes. */
  readonly bytes: number;
}

/** A whole output model: its files and, where there are several, the index that ties them. */
export interface OutputLayout {
  readonly files: readonly OutputFile[];
  /** Name and text of the index; undefined for a single file. */
  readonly index: { readonly name: string; readonly text: string } | undefined;
  readonly parameters: number;
  readonly bytes: number;
}

/** A tensor that has no place yet. */
export type NewTensor = Pick<OutputTensor, 'name' | 'dtype' | 'shape'>;

/** Bytes of tensor data per file where neither a base's files nor an option say it. */
const defaultShardSize = 5e9;

/** Lays out a model with the tensors of `base`; `dtypeOf` gives each tensor's output dtype. */
export function layOut(
  base: Checkpoint,
  dtypeOf: (tensor: TensorInfo) => DTypeName,
  shardSize?: number,
): OutputLayout {
  const tensors = [...base.tensors.values()].map((tensor) => ({ ...tensor, dtype: dtypeOf(tensor) }));
  return layOutTensors(base, tensors, shardSize);
}

/**
 * Lays out a model after the manner of `base`.
 *
 * By default every file of a model with the same tensors keeps its name, its tensors and their order; names lose
 * a variant, which would load only where it is asked for. With `shardSize` (bytes of tensor data per file), and for
 * other tensors, they are dealt out in the order given, under the usual `stem-00001-of-0000N` names; a tensor above
 * the limit gets a file of its own.
 */
export function layOutTensors(
  base: Checkpoint,
  tensors: readonly NewTensor[],
  shardSize?: number,
): OutputLayout {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const keep =
    shardSize === undefined &&
    byName.size === base.tensors.size &&
    [...byName.keys()].every((name) => base.tensors.has(name));
  const groups = keep ? keepShards(base, byName) : reshard(base, tensors, shardSize ?? defaultShardSize);
  const files = groups.map(({ name, tensors: own, metadata }) => layOutFile(name, own, metadata));
  const bytes = files.reduce((sum, file) => sum + file.bytes - file.header.length, 0);
  const parameters = tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  return { files, index: makeIndex(base, files, parameters, bytes, keep), parameters, bytes };
}

interface Group {
  name: string;
  tensors: readonly NewTensor[];
  metadata: ReadonlyMap<string, string>;
}

function keepShards(base: Checkpoint, tensors: ReadonlyMap<string, NewTensor>): Group[] {
  const plain = base.files.map(({ name }) => safetensorsName(withoutVariant(name)));
  // An index may tie parts that are only called like variants of one file.
  const apart = new Set(plain).size === plain.length;
  return base.files.map(({ name, tensors: own, metadata }, i) => ({
    name: apart ? plain[i]! : safetensorsName(name),
    tensors: own.map((tensor) => tensors.get(tensor.name)!),
    metadata,
  }));
}

function reshard(base: Checkpoint, tensors: readonly NewTensor[], shardSize: number): Group[] {
  const shards: NewTensor[][] = [[]];
  let room = shardSize;
  for (const tensor of tensors) {
    const bytes = elementCount(tensor.shape) * itemSize(tensor.dtype);
    if (bytes > room && shards.at(-1)!.length > 0) {
      shards.push([]);
      room = shardSize;
    }
    shards.at(-1)!.push(tensor);
    room -= bytes;
  }
  const metadata = new Map(base.files.flatMap((file) => [...file.metadata]));
  const stem = weightsStem(base);
  const pad = (n: number) => String(n).padStart(5, '0');
  return shards.map((own, i) => ({
    name:
      shards.length === 1
        ? `${stem}.safetensors`
        : `${stem}-${pad(i + 1)}-of-${pad(shards.length)}.safetensors`,
    tensors: own,
    metadata,
  }));
}

/** `model` of `model.safetensors`, `model-00001-of-00003.safetensors` or `model.safetensors.index.json`. */
function weightsStem(base: Checkpoint): string {
  const name = safetensorsName(withoutVariant(base.files[0]!.name));
  return name.replace(/\.safetensors$/, '').replace(/-\d{5,6}-of-\d{5,6}$/, '');
}

/** The name of a safetensors file with the tensors of `name`: `model.safetensors` for `pytorch_model.bin`. */
function safetensorsName(name: string): string {
  return name
    .replace(/^(open_clip_)?pytorch_model\b/, '$1model')
    .replace(/\.(bin|pt|pth)(?=$|\.index\.json$)/, '.safetensors');
}

function makeIndex(
  base: Checkpoint,
  files: readonly OutputFile[],
  parameters: number,
  bytes: number,
  keep: boolean,
): OutputLayout['index'] {
  // A base that indexes its one file keeps its index; a fresh layout of one file has none, as transformers
  // does.
  if (files.length === 1 && !(keep && base.index)) return undefined;
  const kept = keep && base.index?.path.split('/').at(-1);
  const pairs = files.flatMap((file) => file.tensors.map(({ name }) => [name, file.name] as const));
  pairs.sort(([a], [b]) => (a < b ? -1 : 1));
  const map = pairs.map(([tensor, file]) => `    ${JSON.stringify(tensor)}: ${JSON.stringify(file)}`);
  const metadata = { total_parameters: parameters, total_size: bytes };
  // Written by hand: an object would reorder integer-like names and lose a tensor named __proto__.
  const text = `{\n  "metadata": ${JSON.stringify(metadata)},\n  "weight_map": {\n${map.join(',\n')}\n  }\n}\n`;
  return {
    name: (kept && safetensorsName(withoutVariant(kept))) || `${weightsStem(base)}.safetensors.index.json`,
    text,
  };
}

function layOutFile(
  name: string,
  tensors: readonly NewTensor[],
  metadata: ReadonlyMap<string, string>,
): OutputFile {
  let end = 0;
  const placed = tensors.map(({ name: tensor, dtype, shape }) => {
    const bytes = elementCount(shape) * itemSize(dtype);
    const offset = end;
    end += bytes;
    return { name: tensor, dtype, shape, offset, bytes };
  });
  const header = encodeHeader(placed, metadata, name);
  return {
    name,
    header,
    tensors: placed.map((tensor) => ({ ...tensor, offset: header.length + tensor.offset })),
    bytes: header.length + end,
  };
}

/**
 * The header of a file: its 8-byte length, the JSON, and spaces up to `dataAlignment`. Offsets of `tensors`
 * are relative to the data. Throws ERR_HEADER_TOO_LARGE.
 */
export function encodeHeader(
  tensors: readonly OutputTensor[],
  metadata: ReadonlyMap<string, string>,
  file: string,
): Uint8Array {
  const entries: string[] = [];
  if (metadata.size > 0) {
    const pairs = [...metadata].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
    entries.push(`"__metadata__":{${pairs.join(',')}}`);
  }
  for (const { name, dtype, shape, offset, bytes } of tensors) {
    const range = `[${offset},${offset + bytes}]`;
    entries.push(
      `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape.join(',')}],"data_offsets":${range}}`,
    );
  }
  const json = Buffer.from(`{${entries.join(',')}}`, 'utf8');
  const total = Math.ceil((8 + json.length) / dataAlignment) * dataAlignment;
  if (total - 8 > hubHeaderBytes) {
    throw new WisemergeError(
      'ERR_HEADER_TOO_LARGE',
      `the header of ${file} would have ${total - 8} bytes; clients of the Hugging Face Hub accept ${hubHeaderBytes}`,
      { file, hint: 'Spread the tensors over more files with shardSize (--shard-size).' },
    );
  }
  const header = Buffer.alloc(total, ' ');
  header.writeBigUInt64LE(BigInt(total - 8));
  json.copy(header, 8);
  return header;
}
