// Float dtypes as numbers: f64 values that a dtype can hold, and the bytes that hold them.

export type FloatType = 'F64' | 'F32' | 'F16' | 'BF16';

export const itemBytes: Readonly<Record<FloatType, number>> = { F64: 8, F32: 4, F16: 2, BF16: 2 };

/** Bits of the significand with the hidden one, exponent of the last place of subnormals, largest value. */
const narrow = {
  F16: { precision: 11, lowest: -24, largest: 65504 },
  BF16: { precision: 8, lowest: -133, largest: (2 - 2 ** -7) * 2 ** 127 },
};

const words = new DataView(new ArrayBuffer(8));
function exponentOf(value: number): number {
  words.setFloat64(0, value);
  return ((words.getUint16(0) >> 4) & 0x7ff) - 1023;
}

/** To a whole number, to nearest, ties to even. */
function roundEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

/** The value of `dtype` that is nearest, ties to even. */
export function round(value: number, dtype: FloatType): number {
  if (dtype === 'F64' || !Number.isFinite(value) || value === 0) return value;
  if (dtype === 'F32') return Math.fround(value);
  const { precision, lowest, largest } = narrow[dtype];
  const unit = 2 ** Math.max(exponentOf(value) - precision + 1, lowest);
  const rounded = roundEven(Math.abs(value) / unit) * unit;
  return Math.sign(value) * (rounded > largest ? Number.POSITIVE_INFINITY : rounded);
}

export function roundAll(values: Float64Array, dtype: FloatType): Float64Array {
  return values.map((value) => round(value, dtype));
}

/** The bytes of values that `dtype` holds exactly. */
export function store(values: Float64Array, dtype: FloatType): Buffer {
  if (dtype === 'F64') return Buffer.from(values.slice().buffer);
  const single = Float32Array.from(values);
  if (dtype === 'F32') return Buffer.from(single.buffer);
  if (dtype === 'BF16') {
    return Buffer.from(Uint16Array.from(new Uint32Array(single.buffer), (bits) => bits >>> 16).buffer);
  }
  return Buffer.from(Uint16Array.from(values, halfBits).buffer);
}

function halfBits(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  if (Number.isNaN(value)) return 0x7e00;
  const size = Math.abs(value);
  if (size === Number.POSITIVE_INFINITY) return sign | 0x7c00;
  if (size < 2 ** -14) return sign | (size * 2 ** 24);
  const exponent = exponentOf(size);
  return sign | ((exponent + 15) << 10) | ((size / 2 ** exponent - 1) * 1024);
}

/** The values of stored bytes. */
export function load(data: Buffer, dtype: FloatType): Float64Array {
  const bytes = data.buffer.slice(data.byteOffset, data.byteOffset + data.length);
  if (dtype === 'F64') return new Float64Array(bytes);
  if (dtype === 'F32') return Float64Array.from(new Float32Array(bytes));
  const halves = new Uint16Array(bytes);
  if (dtype === 'BF16') {
    return Float64Array.from(new Float32Array(Uint32Array.from(halves, (bits) => bits << 16).buffer));
  }
  return Float64Array.from(halves, (bits) => {
    const sign = bits & 0x8000 ? -1 : 1;
    const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
    if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
  });
}
