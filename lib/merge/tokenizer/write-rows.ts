import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Checkpoint } from '../../checkpoint/checkpoint.js';
import { encodeHeader, type OutputTensor } from '../../checkpoint/layout.js';
import { elementCount, formatShape, itemSize, type TensorInfo } from '../../checkpoint/tensor.js';
import { ioError, WisemergeError } from '../../errors.js';
import { decode, encode } from './elements.js';
import type { RowMap, RowSource } from './rows.js';

/** Rows are read and written in runs of at most this. */
const chunkBytes = 8 * 2 ** 20;

/**
 * Writes tensors of `models[model]` (embeddings, output heads: a row per token) with the rows of the output
 * vocabulary, to a new safetensors file. Memory is bounded by a few chunks, whatever the tensors' size. Rows of the
 * model itself are copied to the byte; others are computed in double precision and rounded once.
 *
 * Throws ERR_SHAPE_MISMATCH (fewer rows than tokens, or rows of other lengths), ERR_MISSING_TENSOR,
 * ERR_DTYPE_MISMATCH, ERR_IO, ERR_NO_SPACE.
 */
export async function writeRemappedRows(
  path: string,
  names: readonly string[],
  models: readonly Checkpoint[],
  model: number,
  map: RowMap,
  options: { signal?: AbortSignal } = {},
): Promise<void> {
  const rows = map.own.length;
  const tensors = names.map((name) => tensorOf(models[model]!, name));
  let end = 0;
  const placed = tensors.map(({ name, dtype, shape }): OutputTensor => {
    const offset = end;
    const bytes = rows * elementCount(shape.slice(1)) * itemSize(dtype);
    end += bytes;
    return { name, dtype, shape: [rows, ...shape.slice(1)], offset, bytes };
  });
  const handle = await open(path, 'wx').catch((error) => {
    throw ioError(error, 'write', path);
  });
  const write = async (bytes: Uint8Array): Promise<void> => {
    await handle.writeFile(bytes).catch((error) => {
      throw ioError(error, 'write', path);
    });
  };
  try {
    await write(encodeHeader(placed, new Map([['format', 'pt']]), basename(path)));
    for (const tensor of tensors) {
      const table = new RowTable(models, model, tensor, map);
      for (let row = 0; row < rows; ) {
        options.signal?.throwIfAborted();
        const { bytes, count } = await table.run(row);
        await write(bytes);
        row += count;
      }
    }
  } finally {
    await handle.close();
  }
}

function tensorOf(checkpoint: Checkpoint, name: string): TensorInfo {
  const tensor = checkpoint.tensors.get(name);
  if (tensor) return tensor;
  throw new WisemergeError('ERR_MISSING_TENSOR', `${checkpoint.path} has no tensor "${name}"`, {
    tensor: name,
    hint: 'Rows of a token must be in every model that has the token.',
  });
}

class RowTable {
  readonly #models: readonly Checkpoint[];
  readonly #model: number;
  readonly #tensor: TensorInfo;
  readonly #map: RowMap;
  readonly #rowBytes: number;
  #mean: Uint8Array | undefined;

  constructor(models: readonly Checkpoint[], model: number, tensor: TensorInfo, map: RowMap) {
    this.#models = models;
    this.#model = model;
    this.#tensor = tensor;
    this.#map = map;
    this.#rowBytes = elementCount(tensor.shape.slice(1)) * itemSize(tensor.dtype);
  }

  /** The bytes of output rows from `from`: a run of neighbours in the input, or a single row. */
  async run(from: number): Promise<{ bytes: Uint8Array; count: number }> {
    const { own, others } = this.#map;
    const first = own[from]!;
    if (first < 0) return { bytes: await this.#other(others.get(from)!), count: 1 };
    const most = Math.max(1, Math.floor(chunkBytes / Math.max(1, this.#rowBytes)));
    let count = 1;
    while (count < most && from + count < own.length && own[from + count] === first + count) count++;
    return { bytes: await this.#read(this.#model, first, count), count };
  }

  async #other(source: RowSource): Promise<Uint8Array> {
    if (source.kind === 'zero') return new Uint8Array(this.#rowBytes);
    if (source.kind === 'mean') {
      this.#mean ??= await this.#meanOfTokens();
      return this.#mean;
    }
    const { rows } = source;
    const [only] = rows;
    const { dtype } = this.#tensor;
    if (rows.length === 1 && tensorOf(this.#models[only!.model]!, this.#tensor.name).dtype === dtype) {
      return this.#read(only!.model, only!.row, 1);
    }
    const sum = new Float64Array(elementCount(this.#tensor.shape.slice(1)));
    for (const { model, row } of rows) {
      const values = decode(
        await this.#read(model, row, 1),
        tensorOf(this.#models[model]!, this.#tensor.name),
      );
      for (let i = 0; i < sum.length; i++) sum[i]! += values[i]!;
    }
    return encode(
      sum.map((value) => value / rows.length),
      this.#tensor,
    );
  }

  async #meanOfTokens(): Promise<Uint8Array> {
    const { tokenRows } = this.#map;
    const width = elementCount(this.#tensor.shape.slice(1));
    const sum = new Float64Array(width);
    const most = Math.max(1, Math.floor(chunkBytes / 8 / Math.max(1, width)));
    for (let at = 0; at < tokenRows.length; ) {
      let count = 1;
      while (count < most && tokenRows[at + count] === tokenRows[at]! + count) count++;
      const values = decode(await this.#read(this.#model, tokenRows[at]!, count), this.#tensor);
      for (let i = 0; i < values.length; i++) sum[i % width]! += values[i]!;
      at += count;
    }
    return encode(
      sum.map((value) => value / Math.max(1, tokenRows.length)),
      this.#tensor,
    );
  }

  async #read(model: number, row: number, count: number): Promise<Uint8Array> {
    const checkpoint = this.#models[model]!;
    const tensor = tensorOf(checkpoint, this.#tensor.name);
    const width = (shape: readonly number[]) => formatShape(shape.slice(1));
    if (width(tensor.shape) !== width(this.#tensor.shape) || row + count > (tensor.shape[0] ?? 0)) {
      throw new WisemergeError(
        'ERR_SHAPE_MISMATCH',
        `"${tensor.name}" of ${checkpoint.path} is ${formatShape(tensor.shape)}; row ${row + count - 1} of ${width(this.#tensor.shape)} elements is needed`,
        {
          tensor: tensor.name,
          file: tensor.file,
          hint: 'Resize the embeddings to the tokenizer, or take the tokenizer that fits them.',
        },
      );
    }
    const bytes = (tensor.bytes / tensor.shape[0]!) * count;
    return checkpoint.readTensorRange(tensor.name, (tensor.bytes / tensor.shape[0]!) * row, bytes);
  }
}
