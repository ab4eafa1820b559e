import type { Lease } from '../../checkpoint/input-pool.js';
import { dtypeInfo, type TensorInfo } from '../../checkpoint/tensor.js';
import { toFloats } from '../../checkpoint/to-floats.js';
import type {
  MergeStream,
  MergeStreamInput,
  MergeStreamTable,
  MergeStreamTensor,
} from '../../native/merge.js';
import { type DTypeName, dtypeByName } from '../../native.js';
import type { NativeRowMap } from '../tokenizer/rows.js';
import type { TensorSource } from './model-data.js';
import type { TensorWork } from './work.js';

/** What tensors refer to by number: low-rank factors and row maps, each added to the stream once. */
export class StreamParts {
  readonly #stream: MergeStream;
  readonly #addends = new Map<TensorSource['addend'], number>();
  readonly #maps = new Map<NativeRowMap, number>();

  constructor(stream: MergeStream) {
    this.#stream = stream;
  }

  async add({ addend, gather }: TensorSource, lease: Lease): Promise<void> {
    if (addend && !this.#addends.has(addend)) {
      this.#addends.set(addend, await addFactors(this.#stream, addend, lease));
    }
    if (!gather) return;
    if (!this.#maps.has(gather.map)) this.#maps.set(gather.map, this.#stream.addRowMap(gather.map));
    for (const table of gather.tables) await this.add(table, lease);
  }

  addend(source: TensorSource): { readonly addend?: number } {
    const addend = this.#addends.get(source.addend);
    return addend === undefined ? {} : { addend };
  }

  map(map: NativeRowMap): number {
    return this.#maps.get(map)!;
  }
}

/** A tensor with its place in an output. */
export interface EncodedItem {
  readonly work: TensorWork;
  readonly dtype: DTypeName;
  readonly last: boolean;
}

/** As the native stream takes it. A complex tensor is merged as twice as many reals. */
export function encodeTensor(
  { work: { name, drawnAs = name, call, sources, count }, dtype, last }: EncodedItem,
  output: number,
  lease: Lease,
  parts: StreamParts,
): MergeStreamTensor {
  const stored = sources[0]?.tensor;
  // What is not a float is copied as it is, byte for byte.
  const raw = call.method === 'copy' && stored !== undefined && dtypeInfo(stored.dtype).kind !== 'float';
  const complex = stored?.dtype === 'C64' && !raw;
  const index = (of: DTypeName): number => dtypeByName(raw ? 'U8' : complex ? 'F32' : of)!.index;
  const factor = complex ? 2 : 1;
  const table = (source: TensorSource): MergeStreamTable => {
    const { file, offset, dtype: own } = source.tensor;
    const { cached, direct } = lease.files.get(file)!.descriptors;
    return { fd: cached, directFd: direct, position: offset, dtype: index(own), ...parts.addend(source) };
  };
  const inputs = sources.map((source, i): MergeStreamInput => {
    const { gather } = source;
    const tables = gather?.tables.map((one) => ({ ...table(one), rows: one.tensor.shape[gather.axis]! }));
    return {
      ...table(source),
      ...(gather && { gather: { map: parts.map(gather.map), tables: tables! } }),
      parameters: call.inputs[i]!.parameters,
    };
  });
  return {
    name: drawnAs,
    method: call.method,
    output,
    last,
    dtype: index(dtype),
    count: raw ? stored.bytes : count * factor,
    row: raw ? 1 : call.row * factor,
    ...(call.base !== undefined && { base: call.base }),
    parameters: call.parameters,
    inputs,
  };
}

async function addFactors(
  stream: MergeStream,
  { a, b, scale, transpose }: NonNullable<TensorSource['addend']>,
  lease: Lease,
): Promise<number> {
  const floats = async ({ name, file, offset, bytes, dtype }: TensorInfo): Promise<Float32Array> => {
    const stored = new Uint8Array(bytes);
    await lease.files.get(file)!.read(stored, offset);
    return toFloats(stored, dtype, name);
  };
  return stream.addLowRank({
    rows: b.shape[0]!,
    columns: a.shape[1]!,
    rank: a.shape[0]!,
    scale,
    transposed: transpose,
    a: await floats(a),
    b: await floats(b),
  });
}
