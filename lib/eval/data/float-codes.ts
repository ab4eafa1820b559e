import { bf16ToNumber, f16ToNumber } from '../../checkpoint/half.js';

/** Dtypes of features and heads as they are given to an evaluator. */
export type FloatDType = 'F32' | 'F16' | 'BF16';

/** Magnitudes of floats are in the order of their codes without the sign; codes from `infinity` on are no numbers. */
export interface FloatFormat {
  readonly magnitude: number;
  readonly infinity: number;
  value(code: number): number;
}

const word = new DataView(new ArrayBuffer(4));

export const floatFormats: Readonly<Record<FloatDType, FloatFormat>> = {
  F32: {
    magnitude: 0x7fffffff,
    infinity: 0x7f800000,
    value: (code) => {
      word.setUint32(0, code);
      return word.getFloat32(0);
    },
  },
  F16: { magnitude: 0x7fff, infinity: 0x7c00, value: f16ToNumber },
  BF16: { magnitude: 0x7fff, infinity: 0x7f80, value: bf16ToNumber },
};

/** Little-endian elements as they are, in place where they are aligned. */
export function codesOf(bytes: Uint8Array, dtype: FloatDType): Uint32Array | Uint16Array {
  const size = dtype === 'F32' ? 4 : 2;
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  return dtype === 'F32'
    ? new Uint32Array(buffer, byteOffset, byteLength / 4)
    : new Uint16Array(buffer, byteOffset, byteLength / 2);
}

/** The lowest code whose value is above `limit`: that of infinity for all that are finite, 0 where even 0 is above. */
export function codeAbove(limit: number, dtype: FloatDType): number {
  const { infinity, value } = floatFormats[dtype];
  let [low, high] = [0, infinity];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (value(middle) > limit) high = middle;
    else low = middle + 1;
  }
  return low;
}
