import { type FileHandle, open, rm, truncate } from 'node:fs/promises';
import { ioError, WisemergeError } from '../errors.js';
import { closeFile } from '../files/close-file.js';
import { readTextFile } from '../files/read-whole.js';
import { syncHandle } from '../files/sync-handle.js';

const damaged = 'The journal is damaged: start again with force (--force).';

const kinds = ['sweep', 'soup'] as const;
/** Whose results a journal belongs to. */
export type JournalKind = (typeof kinds)[number];

/**
 * What a sweep or soup has done, one JSON object per line, each on disk before the next step begins. The first line
 * says which of them it is, and holds the configuration. A last line that a kill has cut off is dropped.
 */
export class Journal<Entry> {
  readonly path: string;
  /** Of earlier runs, in order. */
  readonly entries: readonly Entry[];
  readonly #handle: FileHandle;
  #last: Promise<void> = Promise.resolve();
  #release: (() => Promise<void>) | undefined;

  private constructor(path: string, entries: readonly Entry[], handle: FileHandle) {
    this.path = path;
    this.entries = entries;
    this.#handle = handle;
  }

  /** Begins a journal, of which nothing is left where that fails. Throws ERR_IO, ERR_NO_SPACE. */
  static async create<Entry>(path: string, kind: JournalKind, config: unknown): Promise<Journal<Entry>> {
    const journal = new Journal<Entry>(path, [], await openFile(path, 'wx'));
    try {
      await journal.#append({ kind, config });
    } catch (error) {
      await journal.#handle.close();
      await rm(path, { force: true }).catch(() => {});
      throw error;
    }
    return journal;
  }

  /**
   * Goes on with a journal; one whose first line was cut off is begun anew. Throws ERR_SWEEP_CHANGED where it was begun with
   * another configuration, naming the keys that differ, ERR_SWEEP_RESULT where it is damaged, ERR_IO.
   */
  static async resume<Entry>(path: string, kind: JournalKind, config: unknown): Promise<Journal<Entry>> {
    const text = await readTextFile(path).catch((error) => {
      throw ioError(error, 'read', path);
    });
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    if (whole === '') {
      await rm(path, { force: true });
      return await Journal.create<Entry>(path, kind, config);
    }
    const lines = whole.split('\n').slice(0, -1);
    const objects = lines.map((line, i) => {
      try {
        return JSON.parse(line) as Entry;
      } catch {
        throw new WisemergeError('ERR_SWEEP_RESULT', `${path} line ${i + 1} is not JSON`, {
          file: path,
          hint: damaged,
        });
      }
    });
    const first = objects[0] as { config?: unknown } | undefined;
    if (first?.config === undefined) {
      throw new WisemergeError('ERR_SWEEP_RESULT', `${path} does not begin with a configuration`, {
        file: path,
        hint: damaged,
      });
    }
    const changed = differences(first.config, JSON.parse(JSON.stringify(config)));
    if (changed.length > 0) {
      throw new WisemergeError(
        'ERR_SWEEP_CHANGED',
        `the ${kind} in ${path} was begun with other options: ${changed.join(', ')}`,
        {
          file: path,
          hint: 'Resume with the same options, give another output directory (--out), or start again with force (--force).',
        },
      );
    }
    await truncate(path, Buffer.byteLength(whole)).catch((error) => {
      throw ioError(error, 'write', path);
    });
    return new Journal<Entry>(path, objects.slice(1), await openFile(path, 'a'));
  }

  /** Adds an entry; it is on disk when the promise resolves. */
  add(entry: Entry): Promise<void> {
    return this.#append(entry);
  }

  /** One line after the other, and none after one that failed: it may be cut off, and only the last line may be. */
  #append(object: unknown): Promise<void> {
    this.#last = this.#last.then(() => this.#write(object));
    return this.#last;
  }

  async #write(object: unknown): Promise<void> {
    try {
      await this.#handle.appendFile(`${JSON.stringify(object)}\n`);
      await syncHandle(this.#handle);
    } catch (error) {
      throw ioError(error, 'write', this.path);
    }
  }

  /** Calls `release` once the journal is closed. */
  releaseOnClose(release: () => Promise<void>): this {
    this.#release = release;
    return this;
  }

  async close(): Promise<void> {
    try {
      await closeFile(this.#handle, this.path);
    } finally {
      await this.#release?.();
    }
  }
}

/** What the first line of a journal says; nothing without a journal, and where one is damaged or somebody else's. */
export async function beginningOfJournal(
  path: string,
): Promise<{ readonly kind?: JournalKind; readonly config?: unknown }> {
  const text = await readTextFile(path).catch((error) => {
    if (error.code === 'ENOENT') return '';
    throw ioError(error, 'read', path);
  });
  try {
    const { kind, config } = JSON.parse(text.slice(0, text.indexOf('\n'))) as Record<string, unknown>;
    const known = kinds.find((one) => one === kind);
    return known ? { kind: known, config } : {};
  } catch {
    return {};
  }
}

async function openFile(path: string, flags: string): Promise<FileHandle> {
  return await open(path, flags).catch((error) => {
    throw ioError(error, 'open', path);
  });
}

/** Paths of the values in which two JSON values differ. A list of numbers is one value: to compare alphas one by one says little. */
function differences(a: unknown, b: unknown, path = ''): string[] {
  if (isObject(a) && isObject(b) && !(isNumbers(a) && isNumbers(b))) {
    const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])];
    return keys.flatMap((key) => differences(a[key], b[key], path ? `${path}.${key}` : key));
  }
  if (JSON.stringify(a) === JSON.stringify(b)) return [];
  return [`${path || 'everything'} (${brief(a)}, now ${brief(b)})`];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isNumbers(value: unknown): boolean {
  return Array.isArray(value) && value.every((one) => typeof one === 'number');
}

function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? 'absent';
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
