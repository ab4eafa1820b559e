import { WisemergeError } from '../errors.js';
import type { DTypeName } from '../native.js';
import { f16ToNumber } from './half.js';

/** Little-endian elements of any float dtype as f32, rounded to nearest even. Throws ERR_DTYPE_MISMATCH. */
export function toFloats(bytes: Uint8Array, dtype: DTypeName, name: string): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (dtype) {
    case 'F32':
      // Little-endian like every machine that the addon is built for; the copy is aligned.
      return new Float32Array(new Uint8Array(bytes).buffer);
    case 'F64':
      return Float32Array.from({ length: bytes.byteLength / 8 }, (_, i) => view.getFloat64(8 * i, true));
    case 'BF16': {
      const bits = Uint32Array.from(
        { length: bytes.byteLength / 2 },
        (_, i) => view.getUint16(2 * i, true) << 16,
      );
      return new Float32Array(bits.buffer);
    }
    case 'F16':
      return Float32Array.from({ length: bytes.byteLength / 2 }, (_, i) =>
        f16ToNumber(view.getUint16(2 * i, true)),
      );
    default:
      throw new WisemergeError(
        'ERR_DTYPE_MISMATCH',
        `${name} has dtype ${dtype}; expected F32, F16, BF16 or F64`,
        {
          tensor: name,
        },
      );
  }
}
