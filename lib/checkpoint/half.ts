/** The value of an IEEE 754 binary16 code (section 3.4: 1 sign, 5 exponent and 10 fraction bits). */
export function f16ToNumber(code: number): number {
  const sign = code & 0x8000 ? -1 : 1;
  const exponent = (code >> 10) & 0x1f;
  const fraction = code & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (0x400 + fraction) * 2 ** (exponent - 25);
}

const word = new DataView(new ArrayBuffer(4));

/** The value of a bfloat16 code: the upper half of a binary32. */
export function bf16ToNumber(code: number): number {
  word.setUint16(0, code);
  return word.getFloat32(0);
}
