import { bf16ToNumber, f16ToNumber } from '../../checkpoint/half.js';
import { formatShape, itemSize } from '../../checkpoint/tensor.js';
import { WisemergeError } from '../../errors.js';
import type { DTypeName } from '../../native.js';
import { type ArrayFile, openArrayFile } from './array-file.js';
import type { Cell, Column } from './column.js';
import type { DataPath, DataRole } from './data-path.js';

type ReadElement = (view: DataView, at: number) => Cell;

const wholeOrBig = (value: bigint): Cell => {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
};

/** Dtypes that can hold whole numbers, and how one is read. */
const readers: Partial<Readonly<Record<DTypeName, ReadElement>>> = {
  BOOL: (view, at) => view.getUint8(at),
  U8: (view, at) => view.getUint8(at),
  I8: (view, at) => view.getInt8(at),
  U16: (view, at) => view.getUint16(at, true),
  I16: (view, at) => view.getInt16(at, true),
  U32: (view, at) => view.getUint32(at, true),
  I32: (view, at) => view.getInt32(at, true),
  U64: (view, at) => wholeOrBig(view.getBigUint64(at, true)),
  I64: (view, at) => wholeOrBig(view.getBigInt64(at, true)),
  F16: (view, at) => f16ToNumber(view.getUint16(at, true)),
  BF16: (view, at) => bf16ToNumber(view.getUint16(at, true)),
  F32: (view, at) => view.getFloat32(at, true),
  F64: (view, at) => view.getFloat64(at, true),
};

const chunkBytes = 2 ** 22;

/** One value per row from an array [N] or [N, 1]. Throws ERR_DATA for other shapes and dtypes. */
export async function arrayColumn(path: DataPath, role: DataRole): Promise<Column> {
  const array = await openArrayFile(path, role);
  try {
    const [rows = 1, width = 1] = array.shape;
    if (array.shape.length === 0 || array.shape.length > 2 || width !== 1) {
      throw new WisemergeError(
        'ERR_DATA',
        `${array.name} has the shape ${formatShape(array.shape)}; ${role} are one value per row, [N]`,
        { file: array.file, hint: shapeHint(array, role) },
      );
    }
    const read = readers[array.dtype];
    if (!read) {
      throw new WisemergeError('ERR_DATA', `${array.name} has the dtype ${array.dtype}`, {
        file: array.file,
        hint: `Save ${role} as an integer dtype.`,
      });
    }
    return {
      file: array.file,
      values: await readValues(array, rows, read),
      place: (i) => `${array.name} row ${i}`,
    };
  } finally {
    await array.close();
  }
}

async function readValues(array: ArrayFile, rows: number, read: ReadElement): Promise<Cell[]> {
  const size = itemSize(array.dtype);
  const perChunk = chunkBytes / size;
  const buffer = new Uint8Array(Math.min(perChunk, rows) * size);
  const view = new DataView(buffer.buffer);
  const values: Cell[] = [];
  for (let first = 0; first < rows; first += perChunk) {
    const count = Math.min(perChunk, rows - first);
    await array.readRows(first, count, buffer.subarray(0, count * size));
    for (let i = 0; i < count; i++) values.push(read(view, i * size));
  }
  return values;
}

function shapeHint({ shape }: ArrayFile, role: DataRole): string {
  return role === 'labels' && shape.length === 2
    ? 'For one-hot labels save array.argmax(axis=1).'
    : 'Save an array with one axis.';
}
