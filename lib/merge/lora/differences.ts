import type { InputPool } from '../../checkpoint/input-pool.js';
import type { ProgressMeter } from '../../checkpoint/progress.js';
import { settleAll } from '../../checkpoint/settle.js';
import { dtypeInfo, itemSize, type TensorInfo } from '../../checkpoint/tensor.js';
import { WisemergeError } from '../../errors.js';
import { compareSpan, compareSumColumns, type Engine, type HostBuffer } from '../../native.js';
import type { TensorPair } from '../compatibility.js';

/** Elements that are read at a time: whole spans of sums. */
const chunkElements: number = 8 * compareSpan;
const slots = 2;
/** Of one side in a slot: the widest dtype. */
const sideBytes = chunkElements * 8;
/** Bytes of an arena that a reader takes. */
export const readerBytes: number = slots * 2 * sideBytes;
/** Columns of a row of sums: Σ(y − x)², then what is not finite on either side. */
const [squaresColumn, firstBad, lastBad] = [3, 6, 9];

interface Chunk {
  readonly count: number;
  readonly x: number;
  readonly y: number;
}

/** Reads tensors of two models side by side, a chunk ahead of what is computed. */
export class DifferenceReader {
  readonly #engine: Engine;
  readonly #arena: HostBuffer;
  readonly #at: number;
  readonly #inputs: InputPool;
  readonly #progress: ProgressMeter;
  readonly #signal: AbortSignal | undefined;

  /** `at`: where `readerBytes` of the arena begin. */
  constructor(
    engine: Engine,
    arena: HostBuffer,
    at: number,
    inputs: InputPool,
    progress: ProgressMeter,
    signal: AbortSignal | undefined,
  ) {
    this.#engine = engine;
    this.#arena = arena;
    this.#at = at;
    this.#inputs = inputs;
    this.#progress = progress;
    this.#signal = signal;
  }

  /** Puts y − x into the arena as f32. Throws ERR_DATA where it is not finite. */
  async load(pair: TensorPair, out: number): Promise<void> {
    const [x, y, f32] = [pair.x.dtype, pair.y.dtype, 'F32' as const].map((name) => dtypeInfo(name).index) as [
      number,
      number,
      number,
    ];
    let bad = 0;
    let done = 0;
    await this.#each(pair, async (chunk) => {
      const inputs = [
        { dtype: y, at: chunk.y, weight: 1 },
        { dtype: x, at: chunk.x, weight: -1 },
      ];
      const to = { dtype: f32, at: out + 4 * done };
      bad += await this.#engine.combine(this.#arena, { out: to, count: chunk.count, inputs }, this.#signal);
      done += chunk.count;
    });
    if (bad > 0) throw notFinite(pair, bad);
  }

  /** The sum of (y − x)². Throws ERR_DATA where it is not finite. */
  async squares(pair: TensorPair): Promise<number> {
    // A complex tensor is twice as many reals.
    const index = ({ dtype }: TensorInfo): number => dtypeInfo(dtype === 'C64' ? 'F32' : dtype).index;
    let [sum, bad] = [0, 0];
    await this.#each(pair, async ({ count, x, y }) => {
      const segment = Float64Array.of(index(pair.x), index(pair.y), count, x, y);
      const sums = await this.#engine.compare(this.#arena, segment, this.#signal);
      for (let at = 0; at < sums.length; at += compareSumColumns) {
        sum += sums[at + squaresColumn]!;
        for (let column = firstBad; column <= lastBad; column++) bad += sums[at + column]!;
      }
    });
    if (bad > 0) throw notFinite(pair, bad);
    return sum;
  }

  async #each({ x, y }: TensorPair, compute: (chunk: Chunk) => Promise<void>): Promise<void> {
    const factor = x.dtype === 'C64' ? 2 : 1;
    const items = [itemSize(x.dtype) / factor, itemSize(y.dtype) / factor] as const;
    const count = x.count * factor;
    const { files, release } = await this.#inputs.acquire([x.file, y.file]);
    let computed: Promise<void> = Promise.resolve();
    try {
      for (let first = 0, slot = 0; first < count; first += chunkElements, slot = (slot + 1) % slots) {
        this.#signal?.throwIfAborted();
        const length = Math.min(chunkElements, count - first);
        const base = this.#at + slot * 2 * sideBytes;
        const chunk = { count: length, x: base, y: base + sideBytes };
        await settleAll([
          files.get(x.file)!.read(this.#arena.bytes(chunk.x, length * items[0]), x.offset + first * items[0]),
          files.get(y.file)!.read(this.#arena.bytes(chunk.y, length * items[1]), y.offset + first * items[1]),
        ]);
        await computed;
        computed = compute(chunk);
        // Whoever waits for it sees the error.
        computed.catch(() => {});
        this.#progress.add(length * (items[0] + items[1]), x.name);
      }
      await computed;
    } finally {
      await computed.catch(() => {});
      await release();
    }
  }
}

function notFinite({ x, y }: TensorPair, elements: number): WisemergeError {
  return new WisemergeError(
    'ERR_DATA',
    `"${x.name}": ${elements} elements of the difference are NaN or infinite`,
    {
      tensor: x.name,
      file: y.file,
      hint: 'wisemerge diff shows in which model; repair or leave out that tensor.',
    },
  );
}
