// An independent reader and writer of the safetensors format on plain Buffers, to hold the package's own against.
import { readFileSync, writeFileSync } from 'node:fs';

export interface Tensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: Buffer;
}

export interface StoredTensor extends Tensor {
  /** Offset of the data in the file. */
  readonly offset: number;
}

export interface StoredFile {
  /** Offset of the byte buffer. */
  readonly dataStart: number;
  readonly metadata: Record<string, string> | undefined;
  /** In order of data offset. */
  readonly tensors: readonly StoredTensor[];
}

const itemBytes: Readonly<Record<string, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  F8_E8M0: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  C64: 8,
  F64: 8,
  I64: 8,
  U64: 8,
};

export function readStored(path: string): StoredFile {
  const file = readFileSync(path);
  const dataStart = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, dataStart)) as Record<string, unknown>;
  let metadata: Record<string, string> | undefined;
  const tensors: StoredTensor[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') {
      metadata = value as Record<string, string>;
      continue;
    }
    const { dtype, shape, data_offsets } = value as {
      dtype: string;
      shape: number[];
      data_offsets: [number, number];
    };
    const [begin, end] = data_offsets.map((offset) => dataStart + offset) as [number, number];
    tensors.push({ name, dtype, shape, data: file.subarray(begin, end), offset: begin });
  }
  // Ties are empty tensors, which precede the tensor that starts where they lie.
  tensors.sort((a, b) => a.offset - b.offset || a.data.length - b.data.length);
  return { dataStart, metadata, tensors };
}

/** The tensors of several files, by name. */
export function readTensors(...paths: string[]): Map<string, StoredTensor> {
  return new Map(paths.flatMap((path) => readStored(path).tensors.map((tensor) => [tensor.name, tensor])));
}

/** `pad`: spaces after the JSON until the data starts at a multiple of it; 1 leaves the header un-aligned. */
export function writeStored(
  path: string,
  tensors: readonly Tensor[],
  options: { metadata?: Record<string, string>; pad?: number } = {},
): void {
  const { metadata, pad = 8 } = options;
  const entries = metadata ? [`"__metadata__":${JSON.stringify(metadata)}`] : [];
  let end = 0;
  for (const { name, dtype, shape, data } of tensors) {
    const begin = end;
    end += data.length;
    entries.push(
      `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":${JSON.stringify(shape)},"data_offsets":[${begin},${end}]}`,
    );
  }
  const json = Buffer.from(`{${entries.join(',')}}`);
  const header = Buffer.alloc(Math.ceil((8 + json.length) / pad) * pad, ' ');
  header.writeBigUInt64LE(BigInt(header.length - 8));
  json.copy(header, 8);
  writeFileSync(path, Buffer.concat([header, ...tensors.map(({ data }) => data)]));
}

/** A tensor whose bytes are given, or all zero. */
export function tensor(
  name: string,
  dtype: string,
  shape: readonly number[],
  data?: NodeJS.ArrayBufferView,
): Tensor {
  const bytes = shape.reduce((product, dim) => product * dim, itemBytes[dtype]!);
  const buffer = data ? Buffer.from(data.buffer, data.byteOffset, data.byteLength) : Buffer.alloc(bytes);
  if (buffer.length !== bytes) throw new Error(`${name}: ${buffer.length} bytes for ${dtype} [${shape}]`);
  return { name, dtype, shape, data: buffer };
}
