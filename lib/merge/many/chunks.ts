import { alignUp, ioAlignment } from '../../checkpoint/alignment.js';
import { dtypeInfo } from '../../checkpoint/tensor.js';
import { WisemergeError } from '../../errors.js';
import { chunkSlack, mergeSpan, sinkBytes } from '../../native/merge.js';
import { type DTypeName, maxBufferBytes } from '../../native.js';

/** I/O buffers in bytes where `memory` is not given. */
const defaultChunkMemory = 100 * 2 ** 20;
/**
 * Bytes of a chunk: as large as requests to a disk are cheap, or transfers to a device. On the CPU, what is made of
 * one has room in a block of the output (native/merge/output_sink.h): the slack is more than the page that these keep.
 */
const wanted = { cpu: 2 * 2 ** 20, device: 8 * 2 ** 20 };
/** Groups in memory at once, so that one can be read while another is computed. */
const groups = 2;

/** What a chunk must hold of one tensor. */
export interface ChunkNeed {
  readonly name: string;
  readonly inputs: number;
  /** Of the widest of its inputs and the output. */
  readonly itemBytes: number;
  /** Elements that must be together; 0: any number of spans. */
  readonly row: number;
  readonly count: number;
  /** What its method holds besides, in bytes. */
  readonly own: number;
  /** Tables and masks of its method, in bytes: they come out of what buffers can do without. */
  readonly tables: number;
}

export interface Chunks {
  readonly chunkBytes: number;
  /** Bytes of the arena that chunks and blocks of output are cut from. */
  readonly arena: number;
  /** The same with what methods hold besides, and their tables. */
  readonly memory: number;
}

/**
 * Sizes for all tensors of a merge. The default budget grows for what needs more; a given one that is too small is
 * ERR_MEMORY, which names the tensor.
 */
export function chooseChunks(needs: readonly ChunkNeed[], device: string, memory?: number): Chunks {
  let least = ioAlignment + chunkSlack;
  let most: ChunkNeed | undefined;
  let inputs = 1;
  let own: ChunkNeed | undefined;
  let tables = 0;
  for (const need of needs) {
    const unit = Math.min(need.row > 0 ? need.row : mergeSpan, Math.max(need.count, 1));
    const bytes = alignUp(unit * need.itemBytes, ioAlignment) + chunkSlack;
    if (bytes > least) [least, most] = [bytes, need];
    if (need.own > (own?.own ?? 0)) own = need;
    inputs = Math.max(inputs, need.inputs);
    tables = Math.max(tables, need.tables);
  }
  const besides = alignUp(own?.own ?? 0, ioAlignment);
  const smallest = sinkBytes + (inputs + 1) * least + besides;
  // Whole pages: what is written past the page cache begins at one.
  const budget = whole(memory ?? Math.max(defaultChunkMemory, smallest + ioAlignment));
  if (budget < smallest) {
    const named = besides > smallest / 2 ? own : most;
    throw new WisemergeError(
      'ERR_MEMORY',
      `memory of ${budget} bytes is too small; this merge needs ${smallest}` +
        (named ? ` for ${inputs} inputs of "${named.name}"` : ''),
      { hint: 'Raise memory (--memory).', ...(named && { tensor: named.name }) },
    );
  }
  const arena = whole(Math.min(Math.max(budget - besides - tables, smallest - besides), maxBufferBytes));
  const share = (arena - sinkBytes) / (groups * inputs + 1);
  const largest = device === 'cpu' ? wanted.cpu : wanted.device;
  const chunkBytes = whole(Math.min(largest, Math.max(share, least)));
  return { chunkBytes: Math.max(chunkBytes, least), arena, memory: budget };
}

const whole = (bytes: number): number => Math.floor(bytes / ioAlignment) * ioAlignment;

/** Bytes of an element in memory: what is added to is widened to F32. */
export function loadedBytes(dtype: DTypeName, addend: boolean): number {
  const bytes = Math.max(dtypeInfo(dtype).bits / 8, 1);
  return addend ? Math.max(bytes, 4) : bytes;
}
