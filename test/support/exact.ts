// Floating-point arithmetic by exact rationals in BigInt: an oracle for interpolation that shares no rounding,
// no table and no shortcut with the code under test.

/** m · 2^e. */
interface Dyadic {
  readonly m: bigint;
  readonly e: number;
}

/** A binary format: bits of the significand with the hidden one, exponent of the smallest subnormal, largest finite
 * value, and how values beyond it are stored. */
export interface Format {
  readonly bytes: number;
  readonly precision: number;
  readonly minExponent: number;
  readonly exponentBits: number;
  /** False for F8_E4M3, which has one NaN and no infinity. */
  readonly infinity: boolean;
}

export const formats: Readonly<Record<string, Format>> = {
  F64: { bytes: 8, precision: 53, minExponent: -1074, exponentBits: 11, infinity: true },
  F32: { bytes: 4, precision: 24, minExponent: -149, exponentBits: 8, infinity: true },
  F16: { bytes: 2, precision: 11, minExponent: -24, exponentBits: 5, infinity: true },
  BF16: { bytes: 2, precision: 8, minExponent: -133, exponentBits: 8, infinity: true },
  F8_E5M2: { bytes: 1, precision: 3, minExponent: -16, exponentBits: 5, infinity: true },
  F8_E4M3: { bytes: 1, precision: 4, minExponent: -9, exponentBits: 4, infinity: false },
};

function dyadic(value: number): Dyadic {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const exponent = Number((bits >> 52n) & 0x7ffn);
  const fraction = bits & 0xfffffffffffffn;
  const m = exponent === 0 ? fraction : fraction | (1n << 52n);
  return { m: bits >> 63n ? -m : m, e: Math.max(exponent, 1) - 1075 };
}

function add(a: Dyadic, b: Dyadic): Dyadic {
  const e = Math.min(a.e, b.e);
  return { m: (a.m << BigInt(a.e - e)) + (b.m << BigInt(b.e - e)), e };
}

function bitLength(m: bigint): number {
  let bits = 0;
  let rest = m;
  for (; rest >= 0x100000000n; rest >>= 32n) bits += 32;
  return bits + 32 - Math.clz32(Number(rest));
}

/** Rounds to the format, to nearest even. Gives the code of the magnitude and the sign. */
function encodeDyadic({ m, e }: Dyadic, format: Format): { sign: bigint; code: bigint } {
  const { precision, minExponent, exponentBits, infinity } = format;
  const sign = m < 0n ? 1n : 0n;
  const magnitude = m < 0n ? -m : m;
  if (magnitude === 0n) return { sign, code: 0n };
  // The exponent of the last place kept.
  let last = Math.max(e + bitLength(magnitude) - precision, minExponent);
  let kept = roundShift(magnitude, last - e);
  if (bitLength(kept) > precision) {
    kept >>= 1n;
    last++;
  }
  const fractionBits = BigInt(precision - 1);
  const normal = kept >> fractionBits;
  const code =
    normal === 0n ? kept : (BigInt(last - minExponent + 1) << fractionBits) + (kept - (1n << fractionBits));
  const overflow = infinity
    ? ((1n << BigInt(exponentBits)) - 1n) << fractionBits
    : (1n << BigInt(exponentBits + precision - 1)) - 1n;
  return { sign, code: code > overflow ? overflow : code };
}

/** m / 2^shift to nearest even; a negative shift is exact. */
function roundShift(m: bigint, shift: number): bigint {
  if (shift <= 0) return m << BigInt(-shift);
  const floor = m >> BigInt(shift);
  const rest = m - (floor << BigInt(shift));
  const half = 1n << BigInt(shift - 1);
  return rest > half || (rest === half && floor & 1n) ? floor + 1n : floor;
}

/** The bits of a finite number, or an infinity, in a format. */
export function encode(value: number, format: Format): bigint {
  const width = BigInt(8 * format.bytes - 1);
  if (!Number.isFinite(value)) {
    const all = (1n << BigInt(format.exponentBits)) - 1n;
    const code = format.infinity ? all << BigInt(format.precision - 1) : (1n << width) - 1n;
    return (value < 0 ? 1n << width : 0n) | code;
  }
  const { code } = encodeDyadic(dyadic(value), format);
  return (Object.is(value, -0) || value < 0 ? 1n << width : 0n) | code;
}

/** The value of a code; NaN for any NaN. */
export function decode(bits: bigint, format: Format): number {
  const { precision, minExponent, exponentBits, infinity, bytes } = format;
  const fractionBits = BigInt(precision - 1);
  const magnitude = bits & ((1n << BigInt(8 * bytes - 1)) - 1n);
  const sign = bits >> BigInt(8 * bytes - 1) ? -1 : 1;
  const exponent = Number(magnitude >> fractionBits);
  const fraction = Number(magnitude & ((1n << fractionBits) - 1n));
  const top = 2 ** exponentBits - 1;
  if (infinity && exponent === top) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (!infinity && magnitude === (1n << BigInt(exponentBits + precision - 1)) - 1n) return Number.NaN;
  const significand = exponent === 0 ? fraction : fraction + 2 ** (precision - 1);
  // Two factors: 2^-1074 times a significand is exact, a single power below it is not.
  const power = minExponent + Math.max(exponent, 1) - 1;
  return sign * significand * 2 ** Math.max(power, -1022) * 2 ** Math.min(power + 1022, 0);
}

/** a·b + c of finite numbers, rounded once to the format. */
function fma(a: number, b: number, c: number, format: Format): number {
  const [x, y] = [dyadic(a), dyadic(b)];
  const sum = add({ m: x.m * y.m, e: x.e + y.e }, dyadic(c));
  if (sum.m === 0n) return a * b + c;
  const { sign, code } = encodeDyadic(sum, format);
  return decode((sign << BigInt(8 * format.bytes - 1)) | code, format);
}

/**
 * x + α (y − x) as the documentation defines it: the difference and one fused multiply-add in F64 if either side
 * is F64 and in F32 otherwise, then one rounding to the output; the ends and equal elements are casts. Elements are
 * codes of their dtypes, finite.
 */
export function lerpCode(
  x: bigint,
  y: bigint,
  alpha: number,
  dtypes: { readonly x: string; readonly y: string; readonly out: string },
): bigint {
  const [fx, fy, out] = [formats[dtypes.x]!, formats[dtypes.y]!, formats[dtypes.out]!];
  const [a, b] = [decode(x, fx), decode(y, fy)];
  if (alpha === 0 || Object.is(a, b)) return encode(a, out);
  if (alpha === 1) return encode(b, out);
  const compute = dtypes.x === 'F64' || dtypes.y === 'F64' ? formats.F64! : formats.F32!;
  const one = dyadic(b);
  const difference = add(one, { m: -dyadic(a).m, e: dyadic(a).e });
  const { sign, code } = encodeDyadic(difference, compute);
  const d = decode((sign << BigInt(8 * compute.bytes - 1)) | code, compute);
  const factor = compute === formats.F64 ? alpha : Math.fround(alpha);
  if (!Number.isFinite(d)) return encode(factor * d + a, out);
  return encode(fma(factor, d, a, compute), out);
}

/** Element `i` of stored data, as an unsigned code. */
export function codeAt(data: Buffer, i: number, bytes: number): bigint {
  return bytes === 8 ? data.readBigUInt64LE(8 * i) : BigInt(data.readUIntLE(bytes * i, bytes));
}

export function putCode(data: Buffer, i: number, bytes: number, code: bigint): void {
  if (bytes === 8) data.writeBigUInt64LE(code, 8 * i);
  else data.writeUIntLE(Number(code), bytes * i, bytes);
}

/** Interpolates whole tensors of finite elements. */
export function lerpData(
  x: Buffer,
  y: Buffer,
  alpha: number,
  dtypes: { readonly x: string; readonly y: string; readonly out: string },
): Buffer {
  const [fx, fy, out] = [formats[dtypes.x]!.bytes, formats[dtypes.y]!.bytes, formats[dtypes.out]!.bytes];
  const count = x.length / fx;
  const result = Buffer.alloc(count * out);
  for (let i = 0; i < count; i++)
    putCode(result, i, out, lerpCode(codeAt(x, i, fx), codeAt(y, i, fy), alpha, dtypes));
  return result;
}
