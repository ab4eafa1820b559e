import { type Checkpoint, openCheckpoint } from '../checkpoint/checkpoint.js';
import { dtypeInfo } from '../checkpoint/tensor.js';
import { WisemergeError } from '../errors.js';
import { checkCompatibility, type TensorPair } from '../merge/compatibility.js';
import { incompatible } from '../merge/problems.js';
import { type DTypeName, dtypeByName, Engine } from '../native.js';
import { Arena, ArenaLayout } from './arena.js';

/** A tensor of an interpolated model. */
export interface CandidateTensor {
  readonly name: string;
  /** As in the zero-shot model. */
  readonly dtype: DTypeName;
  readonly shape: readonly number[];
}

export interface ModelPairOptions {
  /** Bytes of both models to keep; of larger ones every tensor is read when it is asked for. Default 8 GiB. */
  readonly memory?: number;
  readonly threads?: number;
  readonly signal?: AbortSignal;
}

const defaultMemory = 8 * 2 ** 30;
type Stored = readonly [x: Uint8Array, y: Uint8Array];

/**
 * Two models between which θ_α is made in memory, a tensor at a time. Both are read once, by the first
 * candidate. The bytes are those that `merge` writes.
 */
export class ModelPair {
  readonly tensors: readonly CandidateTensor[];
  readonly #models: readonly [Checkpoint, Checkpoint];
  readonly #pairs: ReadonlyMap<string, TensorPair>;
  readonly #stored: Map<string, Promise<Stored>> | undefined;
  readonly #engine: Engine;

  private constructor(
    models: readonly [Checkpoint, Checkpoint],
    pairs: readonly TensorPair[],
    { memory = defaultMemory, threads }: ModelPairOptions,
  ) {
    const bytes = pairs.reduce((sum, { x, y }) => sum + x.bytes + y.bytes, 0);
    this.#models = models;
    this.#pairs = new Map(pairs.map((pair) => [pair.x.name, pair]));
    this.#stored = bytes <= memory ? new Map() : undefined;
    this.#engine = new Engine({ ...(threads !== undefined && { threads }) });
    this.tensors = pairs.map(({ x, outDtype }) => ({ name: x.name, dtype: outDtype, shape: x.shape }));
  }

  /** Opens both by their headers. Rejects with ERR_INCOMPATIBLE, and what opening a checkpoint throws. */
  static async open(zeroshot: string, finetuned: string, options: ModelPairOptions = {}): Promise<ModelPair> {
    const read = options.signal ? { signal: options.signal } : {};
    const models = [await openCheckpoint(zeroshot, read), await openCheckpoint(finetuned, read)] as const;
    const { pairs, problems } = await checkCompatibility(...models);
    if (problems.length > 0) throw incompatible(problems);
    return new ModelPair(models, pairs, options);
  }

  /**
   * A tensor of θ_α, little-endian and in C order. Rejects with ERR_NO_SUCH_TENSOR, ERR_INCOMPATIBLE for
   * integers that differ, ERR_TENSOR_TOO_LARGE, ERR_OUT_OF_MEMORY, ERR_IO, or with the abort reason.
   */
  async readTensor(name: string, alpha: number, signal?: AbortSignal): Promise<Uint8Array> {
    const pair = this.#pairs.get(name);
    if (!pair) {
      throw new WisemergeError('ERR_NO_SUCH_TENSOR', `the models have no tensor "${name}" in common`, {
        tensor: name,
      });
    }
    const [xs, ys] = await this.#read(pair);
    const { x, y, action, outDtype } = pair;
    if (action !== 'lerp') return xs.slice();
    // Its own buffer, so that candidates may be made at the same time.
    const layout = new ArenaLayout();
    const [xAt, yAt] = [layout.reserve(x.bytes), layout.reserve(y.bytes)];
    const bytes = (x.count * dtypeInfo(outDtype).bits) / 8;
    const outAt = layout.reserve(bytes);
    using arena = new Arena(layout);
    arena.bytes(xAt, x.bytes).set(xs);
    arena.bytes(yAt, y.bytes).set(ys);
    // A complex tensor is interpolated as twice as many reals.
    const complex = x.dtype === 'C64';
    const dtypes = [x.dtype, y.dtype, outDtype].map(
      (dtype) => (complex ? dtypeByName('F32')! : dtypeInfo(dtype)).index,
    );
    const segment = Float64Array.from([...dtypes, complex ? 2 * x.count : x.count, xAt, yAt, outAt]);
    await this.#engine.lerp(arena.buffer, segment, Float64Array.of(alpha), signal);
    return arena.bytes(outAt, bytes).slice();
  }

  #read(pair: TensorPair): Promise<Stored> {
    const known = this.#stored?.get(pair.x.name);
    if (known) return known;
    const reading = this.#readBoth(pair);
    this.#stored?.set(pair.x.name, reading);
    // A failure is not kept: the next candidate tries again.
    reading.catch(() => this.#stored?.delete(pair.x.name));
    return reading;
  }

  async #readBoth({ x, y, action }: TensorPair): Promise<Stored> {
    const [base, finetuned] = this.#models;
    if (action === 'keep') {
      const bytes = await base.readTensor(x.name);
      return [bytes, bytes];
    }
    const [xs, ys] = await Promise.all([base.readTensor(x.name), finetuned.readTensor(y.name)]);
    if (action === 'copy' && Buffer.compare(xs, ys) !== 0) {
      throw incompatible([
        {
          code: 'ERR_INTEGER_TENSOR_DIFFERS',
          tensor: x.name,
          file: y.file,
          message: `"${x.name}" (${x.dtype}) differs between the models and cannot be interpolated`,
          fix: 'Integers are indices or counters: make the tensor equal in both models.',
        },
      ]);
    }
    return [xs, ys];
  }

  async close(): Promise<void> {
    this.#stored?.clear();
    this.#engine.close();
    for (const model of this.#models) await model.close();
  }
}
