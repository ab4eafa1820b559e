import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import type { AsyncBuffer, ColumnData, Compressors } from 'hyparquet';
import { messageOf, WisemergeError } from '../../errors.js';
import type { Cell, Column } from './column.js';
import { DataFile } from './data-file.js';
import { chooseName, type DataPath, type DataRole } from './data-path.js';

// A column of labels takes a few bytes per row; hyparquet decodes a whole column in memory.
const maxColumnRows = 2 ** 27;

/** Snappy is hyparquet's own. The declared size bounds what a page may unfold into. */
const compressors: Compressors = {
  GZIP: (input, size) => gunzipSync(input, { maxOutputLength: Math.max(size, 1) }),
  BROTLI: (input, size) => brotliDecompressSync(input, { maxOutputLength: Math.max(size, 1) }),
};

/**
 * One column of numbers or text of a .parquet file: uncompressed, Snappy, gzip or Brotli. Only this column is
 * read. Throws ERR_IO or ERR_DATA.
 */
export async function parquetColumn(path: DataPath, role: DataRole): Promise<Column> {
  const { parquetMetadataAsync, parquetRead, parquetSchema } = await import('hyparquet');
  const file = await DataFile.open(path.file);
  try {
    const buffer: AsyncBuffer = {
      byteLength: file.size,
      slice: (start, end = file.size) => {
        const bytes = readSlice(file, start, end);
        // hyparquet asks for several at once, and does not wait for the others when one fails.
        bytes.catch(() => {});
        return bytes;
      },
    };
    const metadata = await parquetMetadataAsync(buffer, { geoparquet: false });
    const { children } = parquetSchema(metadata);
    const name = chooseName(
      children.map(({ element }) => element.name),
      path,
      role,
    );
    if (children.find(({ element }) => element.name === name)!.children.length > 0) {
      throw new WisemergeError('ERR_DATA', `${file.path}: the column "${name}" is nested`, {
        file: file.path,
        hint: `Save ${role} as a column of whole numbers or text.`,
      });
    }
    const rows = Number(metadata.num_rows);
    if (rows > maxColumnRows) {
      throw new WisemergeError('ERR_DATA', `${file.path} declares ${rows} rows; read are ${maxColumnRows}`, {
        file: file.path,
        hint: `Save ${role} as .npy.`,
      });
    }
    const chunks: ColumnData[] = [];
    await parquetRead({
      file: buffer,
      metadata,
      columns: [name],
      compressors,
      geoparquet: false,
      onChunk: (chunk) => chunks.push(chunk),
    });
    const values = joinChunks(chunks);
    if (values.length !== rows) {
      throw new Error(`it declares ${rows} rows, and the column "${name}" has ${values.length}`);
    }
    return { file: file.path, values, place: (i) => `${file.path} row ${i}` };
  } catch (error) {
    if (error instanceof WisemergeError) throw error;
    throw unreadable(file.path, error);
  } finally {
    await file.close();
  }
}

/** Bytes `start` to `end`, whatever the file's metadata claims. */
async function readSlice(file: DataFile, start: number, end: number): Promise<ArrayBuffer> {
  if (!(start >= 0 && start <= end && end <= file.size)) {
    throw new Error('its metadata points outside the file');
  }
  const bytes = new Uint8Array(end - start);
  await file.read(bytes, start);
  return bytes.buffer;
}

function joinChunks(chunks: readonly ColumnData[]): Cell[] {
  const values: Cell[] = [];
  for (const { columnData } of [...chunks].sort((a, b) => a.rowStart - b.rowStart)) {
    for (const value of columnData as Iterable<unknown>) values.push(toCell(value));
  }
  return values;
}

function toCell(value: unknown): Cell {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  return typeof value === 'number' || typeof value === 'string' ? value : undefined;
}

function unreadable(path: string, cause: unknown): WisemergeError {
  const why = messageOf(cause);
  const compression = /compression codec/.test(why);
  return new WisemergeError('ERR_DATA', `${path} is not a readable .parquet file: ${why}`, {
    file: path,
    hint: compression
      ? "Save it with compression='snappy' or 'gzip'."
      : 'Copy the file again, or save the column as .csv.',
    cause,
  });
}
