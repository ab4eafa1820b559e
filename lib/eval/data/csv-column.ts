import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { ioError, WisemergeError } from '../../errors.js';
import type { Column } from './column.js';
import { chooseName, type DataPath, type DataRole } from './data-path.js';

// No row of labels is longer; an unclosed quotation mark would otherwise swallow the file.
const maxRecordBytes = 2 ** 20;

/**
 * A column of a .csv file (RFC 4180, UTF-8, first line: names of the columns) as text. Spaces around values and
 * blank lines are ignored. Throws ERR_IO or ERR_DATA naming the line.
 */
export async function csvColumn(path: DataPath, role: DataRole): Promise<Column> {
  const { CsvError, parse } = await import('csv-parse');
  const { file } = path;
  const values: string[] = [];
  const lines: number[] = [];
  let column: number | undefined;
  let header: string[] | undefined;
  // Takes the cell and drops the row, so that rows do not pile up.
  const takeCell = (row: string[], line: number): void => {
    if (header === undefined) {
      header = row;
      column = row.indexOf(chooseColumn(row, path, role));
    } else if (column !== undefined) {
      values.push(row[column]!);
      lines.push(line);
    }
  };
  const parser = parse({
    bom: true,
    trim: true,
    skip_empty_lines: true,
    max_record_size: maxRecordBytes,
    on_record: (row: string[], { lines: line }) => {
      try {
        takeCell(row, line);
      } catch (error) {
        parser.destroy(error as Error);
      }
      return null;
    },
  });
  try {
    await pipeline(createReadStream(file), parser.resume());
  } catch (error) {
    throw error instanceof CsvError ? notCsv(error, file) : ioError(error, 'read', file);
  }
  if (header === undefined) chooseName([], path, role);
  return { file, values, place: (i) => `${file} line ${lines[i]}` };
}

function chooseColumn(header: string[], path: DataPath, role: DataRole): string {
  const numbers = header.filter((cell) => /^[+-]?\d+(\.\d*)?$/.test(cell)).length;
  if (path.member === undefined && numbers === header.length) {
    throw new WisemergeError('ERR_DATA', `${path.file} line 1 has no names of columns`, {
      file: path.file,
      hint: `Add a first line with the names of the columns, such as "${role.replace(/s$/, '')}".`,
    });
  }
  return chooseName(header, path, role);
}

/** The parser's messages name the line. */
function notCsv(error: Error, file: string): Error {
  return new WisemergeError('ERR_DATA', `${file} is not a CSV file: ${error.message}`, {
    file,
    hint: 'Every line needs as many cells as the first; quote cells that hold commas.',
    cause: error,
  });
}
