import { WisemergeError } from '../../errors.js';
import type { Cell, Column } from './column.js';
import { chooseName, type DataPath, type DataRole } from './data-path.js';
import { readJsonRows } from './json-rows.js';

/**
 * The value of one key from every line of a .jsonl file (UTF-8, one JSON object per line); blank lines are
 * skipped. Without a named key, the first line decides. Throws ERR_IO or ERR_DATA naming the line.
 */
export async function jsonlColumn(path: DataPath, role: DataRole): Promise<Column> {
  const { file } = path;
  const values: Cell[] = [];
  const lines: number[] = [];
  let key: string | undefined;
  for await (const { row, line } of readJsonRows(file)) {
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
