import { stat } from 'node:fs/promises';
import { beginCall } from '../../call-options.js';
import { ioError, WisemergeError } from '../../errors.js';
import { checkOptions } from '../../merge/option-checks.js';
import { ownCopy } from '../../own-copy.js';
import type { Groups } from '../data/groups.js';
import { openImageFolder } from './image-folder.js';
import { openImageTable } from './image-table.js';
import { imageSource } from './option-checks.js';

/** Where labelled images come from. */
export interface ImageSource {
  /**
   * A directory with one directory of images per class, or a table, `file.csv` or `file.csv:column` (also .jsonl and
   * .parquet), of paths relative to it.
   */
  readonly images: string;
  /** Of a table: class indices or names, one per row. Default: the table's own usual column. */
  readonly labels?: string;
  /** Of a table: whole numbers or text, one per row. */
  readonly groups?: string;
  /** Names of the classes in the head's order. Default for directories: their names, sorted. */
  readonly classNames?: readonly string[];
}

/** One image file, as it was when the set was opened. */
export interface ImageFile {
  readonly path: string;
  /** Relative to the directory or table; `/` between its parts. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly mtimeMs: number;
}

/** Labelled images, checked to be there but not yet decoded. */
export interface ImageSet {
  /** What was opened. */
  readonly source: string;
  /** [N]. */
  readonly files: readonly ImageFile[];
  /** [N]. */
  readonly labels: Int32Array;
  readonly groups?: Groups;
  readonly classNames?: readonly string[];
  /** `classNames` are those of the directories, for want of others. */
  readonly byDirectory?: boolean;
  /** Files that were passed over, by ending in lower case; '' for none. Tables name their files, so none there. */
  readonly ignored: ReadonlyMap<string, number>;
}

/**
 * Opens a set of labelled images.
 *
 * Throws ERR_IO, ERR_DATA (nothing there, a class without images, a name of no class, missing files: up to 20 are
 * listed), ERR_DATA_MISMATCH, ERR_USAGE, for labels or groups of a directory too, and the reason of a signal that is
 * aborted already.
 */
export async function openImageSet(
  options: ImageSource & { readonly signal?: AbortSignal },
): Promise<ImageSet> {
  using _call = beginCall(options);
  const { signal: _signal, ...source } = ownCopy(options);
  checkOptions(source, imageSource, ['images']);
  if (!(await isDirectory(source.images))) return await openImageTable(source);
  if (source.labels !== undefined || source.groups !== undefined) {
    throw new WisemergeError(
      'ERR_USAGE',
      `${source.images} is a directory, which takes neither labels nor groups: its directories are the classes`,
      {
        file: source.images,
        hint: 'Leave them out, or list the images in a table with columns "path", "label" and "group".',
      },
    );
  }
  return await openImageFolder(source.images, source.classNames);
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // `table.csv:column` is no file of that name.
    if ((code === 'ENOENT' || code === 'ENOTDIR') && /\.(csv|jsonl|parquet)(:|$)/i.test(path)) return false;
    throw ioError(error, 'open', path);
  }
}
