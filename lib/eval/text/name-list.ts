import { extname } from 'node:path';
import { ioError, messageOf, WisemergeError } from '../../errors.js';
import { readTextFile } from '../../files/read-whole.js';
import { readColumn } from '../data/column.js';

/**
 * Texts in order: the strings of a list in .json, a column of .csv, .jsonl or .parquet (`file` or `file:column`), or the
 * lines of any other file, without blank ones and the spaces around them. `what` completes "a list of …" in messages.
 * Throws ERR_DATA, ERR_IO.
 */
export async function readNames(source: string, what: string): Promise<string[]> {
  const names = await namesOf(source, what);
  if (names.length > 0) return names;
  throw new WisemergeError('ERR_DATA', `${source} is empty: expected a list of ${what}`, { file: source });
}

async function namesOf(source: string, what: string): Promise<string[]> {
  if (/\.(csv|jsonl|parquet)(:[^/\\]+)?$/i.test(source)) {
    const { file, values, place } = await readColumn(source, 'names');
    return values.map((value, i) => {
      if (value !== undefined && value !== '') return String(value);
      throw new WisemergeError('ERR_DATA', `${place(i)}: there is no name`, { file });
    });
  }
  const text = await readTextFile(source).catch((error) => {
    throw ioError(error, 'read', source);
  });
  if (extname(source).toLowerCase() === '.json') return fromJson(text, source, what);
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

function fromJson(text: string, file: string, what: string): string[] {
  const refuse = (why: string) =>
    new WisemergeError('ERR_DATA', `${file} ${why}`, {
      file,
      hint: `Give a list of ${what}, such as ["…", "…"].`,
    });
  let names: unknown;
  try {
    names = JSON.parse(text);
  } catch (error) {
    throw refuse(`is not JSON: ${messageOf(error)}`);
  }
  if (Array.isArray(names) && names.every((name) => typeof name === 'string')) return names;
  throw refuse('is not a list of texts');
}
