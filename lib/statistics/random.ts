import { WisemergeError } from '../errors.js';

/**
 * A seeded generator of 32-bit numbers: xoshiro128** 1.1 (Blackman and Vigna, "Scrambled Linear Pseudorandom
 * Number Generators", 2021; period 2^128 - 1), its state filled from the seed by a Weyl sequence through a
 * 32-bit mixing function (Wellons, "Prospecting for Hash Functions", 2018). The same seed gives the same
 * numbers everywhere.
 */
export class Random {
  /** A typed array holds 32-bit numbers unboxed. */
  readonly #state: Uint32Array;

  /**
   * `seed` is a whole number from 0 to 2^53 - 1; generators of one seed and different `stream` numbers are
   * independent. Throws ERR_USAGE.
   */
  constructor(seed: number, stream = 0) {
    for (const [name, value] of Object.entries({ seed, stream })) {
      if (!Number.isSafeInteger(value) || value < 0)
        throw new WisemergeError('ERR_USAGE', `${name}: ${value} is not a whole number from 0 to 2^53 - 1`);
    }
    const high = (value: number): number => Math.floor(value / 2 ** 32);
    let word = 0;
    for (const part of [high(stream), stream >>> 0, high(seed), seed >>> 0])
      word = mix((word ^ part) + 0x9e3779b9);
    this.#state = new Uint32Array(4);
    for (let i = 0; i < 4; i++) {
      word = (word + 0x9e3779b9) | 0;
      this.#state[i] = mix(word);
    }
    // The all-zero state is the one that xoshiro never leaves.
    if (this.#state.every((value) => value === 0)) this.#state[0] = 1;
  }

  /** A generator in a given state of four words, not all zero. */
  static fromState(state: readonly [number, number, number, number]): Random {
    const random = new Random(0);
    random.#state.set(state);
    return random;
  }

  /** The next number, uniform on 0 .. 2^32 - 1. */
  next(): number {
    const state = this.#state;
    const s1 = state[1]!;
    const product = Math.imul(s1, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const s2 = state[2]! ^ state[0]!;
    const s3 = state[3]! ^ s1;
    state[1] = s1 ^ s2;
    state[0] = state[0]! ^ s3;
    state[2] = s2 ^ (s1 << 9);
    state[3] = (s3 << 11) | (s3 >>> 21);
    return result;
  }

  /**
   * Uniform on 0 .. bound - 1, for bounds up to 2^32, without bias: as many top bits as the bound needs, drawn
   * again until they are below it.
   */
  below(bound: number): number {
    if (bound <= 1) return 0;
    const shift = Math.clz32(bound - 1);
    for (;;) {
      const value = this.next() >>> shift;
      if (value < bound) return value;
    }
  }

  /** Uniform on [0, 1), a multiple of 2^-53. */
  uniform(): number {
    const high = this.next() >>> 5;
    return (high * 2 ** 26 + (this.next() >>> 6)) / 2 ** 53;
  }

  /** Puts `values` in random order, in place, every order equally likely (Fisher and Yates; Durstenfeld, 1964). */
  shuffle<T extends Uint32Array | Float64Array>(values: T): T {
    for (let i = values.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const value = values[i]!;
      values[i] = values[j]!;
      values[j] = value;
    }
    return values;
  }
}

/** A bijection of 32-bit words in which every input bit affects every output bit. */
function mix(word: number): number {
  let value = word ^ (word >>> 16);
  value = Math.imul(value, 0x21f0aaad);
  value ^= value >>> 15;
  value = Math.imul(value, 0xd35a2d97);
  return (value ^ (value >>> 15)) >>> 0;
}
