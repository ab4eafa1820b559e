import { elementCount, formatShape, itemSize } from '../../checkpoint/tensor.js';
import { WisemergeError } from '../../errors.js';
import type { DTypeName } from '../../native.js';
import type { Bytes } from './data-file.js';
import { type NpyDict, NpyDictError, parseNpyDict } from './npy-dict.js';

/** An array in the .npy format: its header, checked, and where its data lies in the bytes. */
export interface NpyArray {
  readonly dtype: DTypeName;
  readonly shape: readonly number[];
  /** Byte offset of the first element; elements are in C order, little-endian. */
  readonly dataStart: number;
}

/** Where the name of an array comes from: `name` for messages, `file` for programs. */
export interface ArrayPlace {
  readonly name: string;
  readonly file: string;
}

// A header of an array that is read here has about a hundred bytes; only structured arrays have more.
const maxHeaderBytes = 2 ** 16;
const magic = '\x93NUMPY';

/** NumPy's type codes without their byte order. */
const dtypes: Readonly<Record<string, DTypeName>> = {
  b1: 'BOOL',
  i1: 'I8',
  i2: 'I16',
  i4: 'I32',
  i8: 'I64',
  u1: 'U8',
  u2: 'U16',
  u4: 'U32',
  u8: 'U64',
  f2: 'F16',
  f4: 'F32',
  f8: 'F64',
};

/**
 * Reads the header of an array in the .npy format, versions 1.0, 2.0 and 3.0, and checks that `bytes` hold
 * exactly this array. Throws ERR_DATA that says which part is wrong. Source: numpy.lib.format.
 */
export async function readNpyArray(bytes: Bytes, place: ArrayPlace): Promise<NpyArray> {
  const { text, dataStart } = await readHeader(bytes, place);
  let dict: NpyDict;
  try {
    dict = parseNpyDict(text);
  } catch (error) {
    if (!(error instanceof NpyDictError)) throw error;
    throw refusal(place, `its header is not that of an .npy array: ${error.message}`, saveAgain);
  }
  const dtype = toDType(dict.descr, place);
  const { shape } = dict;
  const size = elementCount(shape) * itemSize(dtype);
  // A zero does not excuse the other sizes: rows are counted from them.
  if (!Number.isSafeInteger(size) || shape.some((dim) => !Number.isSafeInteger(dim))) {
    throw refusal(place, `its shape ${formatShape(shape)} is larger than any file`, saveAgain);
  }
  if (dict.fortranOrder && shape.filter((dim) => dim !== 1).length > 1 && size > 0) {
    throw refusal(
      place,
      'it is in Fortran order (column by column)',
      'Save numpy.ascontiguousarray(array) instead.',
    );
  }
  const there = bytes.size - dataStart;
  if (there !== size) {
    throw refusal(
      place,
      `its header promises ${size} bytes of data (${dtype} ${formatShape(shape)}), and it has ${there}`,
      there < size ? 'The file is cut off: copy or save it again.' : 'Save one array per file.',
    );
  }
  return { dtype, shape, dataStart };
}

const saveAgain = 'Save the array again with numpy.save.';

async function readHeader(bytes: Bytes, place: ArrayPlace): Promise<{ text: string; dataStart: number }> {
  const prefix = Buffer.alloc(Math.min(12, bytes.size));
  await bytes.read(prefix, 0);
  if (!prefix.toString('latin1').startsWith(magic)) {
    throw refusal(place, 'it does not start as an .npy array does', saveAgain);
  }
  const [major, minor] = [prefix[6], prefix[7]];
  if (major === undefined || minor === undefined || major < 1 || major > 3 || minor !== 0) {
    throw refusal(place, `its format version is ${major}.${minor}; read are 1.0, 2.0 and 3.0`, saveAgain);
  }
  const start = major === 1 ? 10 : 12;
  if (bytes.size < start) {
    throw refusal(place, `it has ${bytes.size} bytes, and its header takes more`, saveAgain);
  }
  const length = major === 1 ? prefix.readUInt16LE(8) : prefix.readUInt32LE(8);
  if (length > maxHeaderBytes) {
    throw refusal(
      place,
      `its header of ${length} bytes is longer than ${maxHeaderBytes}`,
      'The file is damaged, or a structured array: save a plain array of numbers.',
    );
  }
  if (start + length > bytes.size) {
    throw refusal(
      place,
      `its header promises ${length} bytes, and ${bytes.size - start} are there`,
      'The file is cut off: copy or save it again.',
    );
  }
  const header = Buffer.alloc(length);
  await bytes.read(header, start);
  return { text: header.toString(major === 3 ? 'utf8' : 'latin1'), dataStart: start + length };
}

function toDType(descr: string | undefined, place: ArrayPlace): DTypeName {
  if (descr === undefined) {
    throw refusal(place, 'it is a structured array', 'Save a plain array of numbers.');
  }
  const [order, code] = [descr.charAt(0), descr.slice(1)];
  const dtype = Object.hasOwn(dtypes, code) ? dtypes[code] : undefined;
  // One byte has no order.
  if (dtype && (order === '<' || (itemSize(dtype) === 1 && '|>='.includes(order)))) return dtype;
  if (dtype && order === '>') {
    throw refusal(
      place,
      `its dtype ${descr} is big-endian`,
      `Save array.astype('<${code}') instead of the array.`,
    );
  }
  throw refusal(place, `its dtype is ${JSON.stringify(descr)}`, dtypeHint(descr));
}

function dtypeHint(descr: string): string {
  const kind = descr.replace(/^[<>|=]/, '');
  if (kind.startsWith('O')) {
    return 'An array of Python objects is not read: save an array of numbers.';
  }
  if (kind.startsWith('U') || kind.startsWith('S')) {
    return 'Save text as .csv, .jsonl or .parquet, or as whole numbers.';
  }
  if (kind === 'V2') return 'NumPy loses the type of bfloat16: save the array as .safetensors.';
  return 'Save it as float16, float32, float64 or an integer dtype.';
}

function refusal({ name, file }: ArrayPlace, why: string, hint: string): WisemergeError {
  return new WisemergeError('ERR_DATA', `${name} cannot be read: ${why}`, { file, hint });
}
