import { arrayColumn } from './array-column.js';
import { csvColumn } from './csv-column.js';
import { type DataRole, parseDataPath } from './data-path.js';
import { jsonlColumn } from './jsonl-column.js';
import { parquetColumn } from './parquet-column.js';

/**
 * One value per row, as the file has it. Numbers that are not whole stay so; a `bigint` is a whole number that
 * a `number` cannot hold; anything else that is neither a number nor text is `undefined`.
 */
export interface Column {
  readonly file: string;
  readonly values: readonly Cell[];
  /** Where row `i` is, for messages: `labels.csv line 17` (from 1) or `labels.npy row 15` (from 0). */
  place(i: number): string;
}

export type Cell = number | bigint | string | undefined;

/**
 * Reads a column from `file` or `file:column`: arrays of integers or whole floats from .npy, .npz and
 * .safetensors, numbers and text from .csv, .jsonl and .parquet. Throws ERR_IO, ERR_DATA or
 * ERR_SAFETENSORS_*.
 */
export async function readColumn(source: string, role: DataRole): Promise<Column> {
  const path = parseDataPath(source, role);
  switch (path.format) {
    case 'csv':
      return csvColumn(path, role);
    case 'jsonl':
      return jsonlColumn(path, role);
    case 'parquet':
      return parquetColumn(path, role);
    default:
      return arrayColumn(path, role);
  }
}
