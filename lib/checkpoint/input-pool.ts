import type { HostBuffer } from '../native.js';
import type { Read } from './blocks.js';
import { type FileIdentity, InputFile, type ReadMode } from './input-file.js';
import { settleAll } from './settle.js';

/**
 * Files kept open without a reader. Blocks go through shards in order, so a few suffice; hundreds of shards
 * would exhaust the usual limit of 1024 descriptors.
 */
const idleFiles = 16;

interface Entry {
  readonly file: Promise<InputFile>;
  readers: number;
}

/** The input files of one run, opened when first read and closed when long unused. */
export class InputPool {
  readonly #identities: ReadonlyMap<string, FileIdentity>;
  readonly #mode: ReadMode | undefined;
  /** In order of last use. */
  readonly #open = new Map<string, Entry>();

  constructor(files: Iterable<FileIdentity>, mode?: ReadMode) {
    this.#identities = new Map([...files].map((file) => [file.path, file]));
    this.#mode = mode;
  }

  /**
   * Carries out reads at the same time, into the region that starts at byte `region` of `arena`. All have
   * ended when it returns or throws.
   */
  async read(reads: readonly Read[], arena: HostBuffer, region: number): Promise<void> {
    await settleAll(reads.map((read) => this.#readOne(read, arena, region)));
  }

  async #readOne(read: Read, arena: HostBuffer, region: number): Promise<void> {
    const entry = this.#open.get(read.file) ?? {
      file: InputFile.open(this.#identities.get(read.file)!, this.#mode),
      readers: 0,
    };
    this.#open.delete(read.file);
    this.#open.set(read.file, entry);
    entry.readers++;
    try {
      await (await entry.file).read(read, arena, region);
    } finally {
      entry.readers--;
    }
    await this.#closeIdle(idleFiles);
  }

  async #closeIdle(keep: number): Promise<void> {
    let excess = this.#open.size - keep;
    for (const [path, entry] of this.#open) {
      if (excess <= 0) break;
      if (entry.readers > 0) continue;
      excess--;
      this.#open.delete(path);
      await (await entry.file).close();
    }
  }

  /** Closes all files; throws ERR_INPUT_CHANGED if one was modified during the run. */
  async close(): Promise<void> {
    const entries = [...this.#open.values()];
    this.#open.clear();
    await settleAll(entries.map(async ({ file }) => (await file).close()));
  }
}
