/** Reproducible 32-bit numbers (xorshift32). */
export function randomWords(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}

/** `bytes` of noise: every bit pattern of every dtype, NaN and infinities included. */
export function randomBytes(bytes: number, seed: number): Buffer {
  const next = randomWords(seed);
  const words = Uint32Array.from({ length: Math.ceil(bytes / 4) }, next);
  return Buffer.from(words.buffer, 0, bytes);
}

/** Weights of the size that models have, in F32: both signs, magnitudes from 2^-16 to 1. */
export function randomWeights(count: number, seed: number): Float32Array {
  const next = randomWords(seed);
  return Float32Array.from({ length: count }, () => {
    const sign = next() & 1 ? -1 : 1;
    return sign * 2 ** -(next() % 16) * (next() / 2 ** 32);
  });
}

/** The same in BF16, as stored bytes (upper halves of the F32 bits). */
export function randomBf16(count: number, seed: number): Buffer {
  const bits = new Uint32Array(randomWeights(count, seed).buffer);
  return Buffer.from(Uint16Array.from(bits, (word) => word >>> 16).buffer);
}

/** The same in F32, as stored bytes. */
export function randomF32(count: number, seed: number): Buffer {
  return Buffer.from(randomWeights(count, seed).buffer);
}
