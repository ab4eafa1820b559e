import { itemSize, type TensorInfo } from '../../checkpoint/tensor.js';
import { WisemergeError } from '../../errors.js';

/** Least normal exponent, and bits of mantissa. */
const narrow = { F16: [-14, 10], BF16: [-126, 7] } as const;

/** The elements of some rows as doubles. Throws ERR_DTYPE_MISMATCH for dtypes that have no mean here. */
export function decode(bytes: Uint8Array, tensor: TensorInfo): Float64Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { dtype } = tensor;
  const read = {
    F64: (at: number) => view.getFloat64(at, true),
    F32: (at: number) => view.getFloat32(at, true),
    F16: (at: number) => widen(view.getUint16(at, true), ...narrow.F16),
    BF16: (at: number) => widen(view.getUint16(at, true), ...narrow.BF16),
  }[dtype as 'F64'];
  if (!read) throw unsupported(tensor);
  const size = itemSize(dtype);
  return Float64Array.from({ length: bytes.length / size }, (_, i) => read(i * size));
}

/** The reverse, with one rounding to nearest even. */
export function encode(values: Float64Array, tensor: TensorInfo): Uint8Array {
  const size = itemSize(tensor.dtype);
  const bytes = new Uint8Array(values.length * size);
  const view = new DataView(bytes.buffer);
  const write = {
    F64: (at: number, value: number) => view.setFloat64(at, value, true),
    F32: (at: number, value: number) => view.setFloat32(at, value, true),
    F16: (at: number, value: number) => view.setUint16(at, round(value, ...narrow.F16), true),
    BF16: (at: number, value: number) => view.setUint16(at, round(value, ...narrow.BF16), true),
  }[tensor.dtype as 'F64'];
  if (!write) throw unsupported(tensor);
  for (const [i, value] of values.entries()) write(i * size, value);
  return bytes;
}

function unsupported({ name, dtype, file }: TensorInfo): WisemergeError {
  return new WisemergeError(
    'ERR_DTYPE_MISMATCH',
    `tensor "${name}" is ${dtype}; new rows can be made for F64, F32, F16 and BF16`,
    {
      tensor: name,
      file,
      hint: 'Save the model in one of these.',
    },
  );
}

function widen(code: number, minExponent: number, mantissa: number): number {
  const sign = code & 0x8000 ? -1 : 1;
  const exponent = (code & 0x7fff) >> mantissa;
  const fraction = code & (2 ** mantissa - 1);
  if (exponent === 0x7fff >> mantissa) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return sign * fraction * 2 ** (minExponent - mantissa);
  return sign * (2 ** mantissa + fraction) * 2 ** (exponent - 1 + minExponent - mantissa);
}

const scratch = new DataView(new ArrayBuffer(8));

function round(value: number, minExponent: number, mantissa: number): number {
  const infinity = (0x7fff >> mantissa) << mantissa;
  if (Number.isNaN(value)) return infinity | (1 << (mantissa - 1));
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size === Number.POSITIVE_INFINITY) return sign | infinity;
  scratch.setFloat64(0, size);
  const exponent = Math.max(((scratch.getUint16(0) >> 4) & 0x7ff) - 1023, minExponent);
  // Exact: a power of two times a double, far from both ends of its range (tiny values give 0 either way).
  const units = size * 2 ** (mantissa - exponent);
  const down = Math.floor(units);
  const rest = units - down;
  const even = rest > 0.5 || (rest === 0.5 && down % 2 === 1) ? down + 1 : down;
  // A normal number's leading bit adds one to the exponent field.
  return sign | Math.min((exponent - minExponent) * 2 ** mantissa + even, infinity);
}
