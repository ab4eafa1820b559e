import { type FileIdentity, InputFile, type ReadMode } from './input-file.js';
import { settleAll } from './settle.js';

/**
 * Files kept open without a user. Ranges go through shards in order, so a few suffice; hundreds of shards
 * would exhaust the usual limit of 1024 descriptors.
 */
const idleFiles = 16;

interface Entry {
  readonly file: Promise<InputFile>;
  users: number;
}

/** Open files, by path. */
export interface Lease {
  readonly files: ReadonlyMap<string, InputFile>;
  readonly release: () => Promise<void>;
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

  /** Opens files, to stay open until `release` is called (once). */
  async acquire(paths: Iterable<string>): Promise<Lease> {
    const entries = [...new Set(paths)].map((path) => [path, this.#acquire(path)] as const);
    const release = async (): Promise<void> => {
      for (const [, entry] of entries) entry.users--;
      await this.#closeIdle(idleFiles);
    };
    const files = new Map<string, InputFile>();
    try {
      for (const [path, { file }] of entries) files.set(path, await file);
    } catch (error) {
      await release();
      throw error;
    }
    return { files, release };
  }

  #acquire(path: string): Entry {
    const entry = this.#open.get(path) ?? {
      file: InputFile.open(this.#identities.get(path)!, this.#mode),
      users: 0,
    };
    this.#open.delete(path);
    this.#open.set(path, entry);
    entry.users++;
    // Whoever waits for it sees the error, if anyone still does.
    entry.file.catch(() => {});
    return entry;
  }

  async #closeIdle(keep: number): Promise<void> {
    let excess = this.#open.size - keep;
    for (const [path, entry] of this.#open) {
      if (excess <= 0) break;
      if (entry.users > 0) continue;
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
