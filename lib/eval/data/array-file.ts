import { readSafetensorsFile } from '../../checkpoint/safetensors-file.js';
import { itemSize } from '../../checkpoint/tensor.js';
import { WisemergeError } from '../../errors.js';
import type { DTypeName } from '../../native.js';
import { type Bytes, DataFile } from './data-file.js';
import { chooseName, type DataPath, type DataRole } from './data-path.js';
import { readNpyArray } from './npy-array.js';
import { openNpzMember } from './npz-member.js';

/**
 * An array on disk, opened from its header. Elements are in C order and little-endian; the first axis counts
 * rows.
 */
export interface ArrayFile {
  readonly file: string;
  /** The member of an archive. */
  readonly member?: string;
  /** For messages: the file, and the member if there is one. */
  readonly name: string;
  readonly dtype: DTypeName;
  readonly shape: readonly number[];
  /** Bytes per row: 0 if another axis is empty. */
  readonly rowBytes: number;
  /** The elements, without the header. */
  readonly data: Bytes;
  /**
   * Reads rows `first` to `first + count` into `into`, which has `count * rowBytes` bytes (ERR_INTERNAL_RANGE).
   * Throws ERR_IO, or ERR_DATA where the file has become shorter.
   */
  readRows(first: number, count: number, into: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens an array of a .npy, .npz or .safetensors file; of several, the one that is named or usual for the role.
 * Throws ERR_IO, ERR_DATA, ERR_INPUT_CHANGED or ERR_SAFETENSORS_*.
 */
export async function openArrayFile(path: DataPath, role: DataRole): Promise<ArrayFile> {
  const file = await DataFile.open(path.file);
  try {
    if (path.format === 'npy') return await openNpy(file, path);
    if (path.format === 'npz') return await openNpz(file, path, role);
    return await openSafetensors(file, path, role);
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function openNpy(file: DataFile, path: DataPath): Promise<ArrayFile> {
  if (path.member !== undefined) {
    throw new WisemergeError('ERR_DATA', `${path.file} holds one array without a name`, {
      file: path.file,
      hint: `Write ${path.file} without ":${path.member}".`,
    });
  }
  return openNpyBytes(file, file, undefined);
}

async function openNpz(file: DataFile, path: DataPath, role: DataRole): Promise<ArrayFile> {
  const { member, bytes } = await openNpzMember(file, (names) => chooseName(names, path, role));
  return openNpyBytes(file, bytes, member);
}

async function openNpyBytes(file: DataFile, bytes: Bytes, member: string | undefined): Promise<ArrayFile> {
  const place = { file: file.path, name: arrayName(file.path, member) };
  const { dtype, shape, dataStart } = await readNpyArray(bytes, place);
  const data: Bytes = {
    size: bytes.size - dataStart,
    read: (into, position) => bytes.read(into, dataStart + position),
  };
  return arrayFile(file, member, dtype, shape, data);
}

async function openSafetensors(file: DataFile, path: DataPath, role: DataRole): Promise<ArrayFile> {
  const { tensors, size, mtimeMs } = await readSafetensorsFile(path.file);
  if (size !== file.size || mtimeMs !== file.mtimeMs) {
    throw new WisemergeError('ERR_INPUT_CHANGED', `${path.file} changed while it was opened`, {
      file: path.file,
      hint: 'Wait until whatever writes the file is done, then run again.',
    });
  }
  const names = tensors.map(({ name }) => name);
  const member = chooseName(names, path, role);
  const tensor = tensors.find(({ name }) => name === member)!;
  return arrayFile(file, member, tensor.dtype, tensor.shape, file.part(tensor.offset, tensor.bytes));
}

function arrayName(file: string, member: string | undefined): string {
  return member === undefined ? file : `${file}:${member}`;
}

function arrayFile(
  file: DataFile,
  member: string | undefined,
  dtype: DTypeName,
  shape: readonly number[],
  data: Bytes,
): ArrayFile {
  const rows = shape[0] ?? 1;
  const rowBytes = shape.slice(1).reduce((bytes, dim) => bytes * dim, itemSize(dtype));
  return {
    file: file.path,
    ...(member !== undefined && { member }),
    name: arrayName(file.path, member),
    dtype,
    shape,
    rowBytes,
    data,
    readRows: async (first, count, into) => {
      if (!(first >= 0 && count >= 0 && first + count <= rows) || into.length !== count * rowBytes) {
        throw new WisemergeError(
          'ERR_INTERNAL_RANGE',
          `${count} rows from ${first} of ${rows}, ${rowBytes} bytes each, into ${into.length} bytes`,
          { file: file.path },
        );
      }
      await data.read(into, first * rowBytes);
    },
    close: () => file.close(),
  };
}
