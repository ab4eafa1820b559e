import { createReadStream } from 'node:fs';
import { ioError, WisemergeError } from '../../errors.js';
import type { Cell, Column } from './column.js';
import { chooseName, type DataPath, type DataRole } from './data-path.js';

// A row of labels is a fraction of this; a file without line ends would otherwise be held whole.
const maxLineBytes = 2 ** 24;

/**
 * The value of one key from every line of a .jsonl file (UTF-8, one JSON object per line); blank lines are
 * skipped. Without a named key, the first line decides. Throws ERR_IO or ERR_DATA naming the line.
 */
export async function jsonlColumn(path: DataPath, role: DataRole): Promise<Column> {
  const { file } = path;
  const values: Cell[] = [];
  const lines: number[] = [];
  let key: string | undefined;
  let line = 0;
  for await (const text of readLines(file)) {
    line++;
    if (text.trim() === '') continue;
    const row = parseRow(text, file, line);
    key ??= chooseName(Object.keys(row), path, role);
    if (!Object.hasOwn(row, key)) {
      throw new WisemergeError('ERR_DATA', `${file} line ${line} has no key "${key}"`, {
        file,
        hint: 'Every line needs the same keys.',
      });
    }
    const value = row[key];
    values.push(typeof value === 'number' || typeof value === 'string' ? value : undefined);
    lines.push(line);
  }
  if (key === undefined) chooseName([], path, role);
  return { file, values, place: (i) => `${file} line ${lines[i]}` };
}

function parseRow(text: string, file: string, line: number): Record<string, unknown> {
  let row: unknown;
  try {
    row = JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new WisemergeError('ERR_DATA', `${file} line ${line} is not JSON: ${why}`, {
      file,
      hint: 'Each line holds one JSON object.',
    });
  }
  if (typeof row === 'object' && row !== null && !Array.isArray(row)) return row as Record<string, unknown>;
  throw new WisemergeError('ERR_DATA', `${file} line ${line} is not a JSON object`, {
    file,
    hint: 'Each line holds one object, such as {"label": 3}.',
  });
}

// node:readline also ends lines at U+2028 and U+2029, which JSON allows inside strings.
async function* readLines(file: string): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = '';
  let line = 0;
  try {
    for await (const chunk of createReadStream(file)) {
      const lines = (rest + decoder.decode(chunk as Buffer, { stream: true })).split('\n');
      rest = lines.pop()!;
      if (rest.length > maxLineBytes) {
        throw new WisemergeError(
          'ERR_DATA',
          `${file} line ${line + lines.length + 1} is longer than ${maxLineBytes}`,
          {
            file,
            hint: 'Each line holds one JSON object.',
          },
        );
      }
      line += lines.length;
      yield* lines;
    }
    rest += decoder.decode();
  } catch (error) {
    if (!(error instanceof TypeError)) throw ioError(error, 'read', file);
    throw new WisemergeError('ERR_DATA', `${file} after line ${line} is not UTF-8 text`, {
      file,
      hint: 'Save it as UTF-8.',
      cause: error,
    });
  }
  yield rest;
}
