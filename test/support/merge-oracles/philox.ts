// Philox4x32-10 (Salmon et al., 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3), and how
// docs/numerics.md has random bits follow from it.
import { xxh3 } from '@node-rs/xxhash';

const multipliers = [0xd2511f53, 0xcd9e8d57] as const;
const bumps = [0x9e3779b9, 0xbb67ae85] as const;

/** The low and high half of a product of two 32-bit numbers. */
function wideProduct(a: number, b: number): [low: number, high: number] {
  const low = (a & 0xffff) * b;
  return [Math.imul(a, b) >>> 0, Math.floor(((a >>> 16) * b + Math.floor(low / 2 ** 16)) / 2 ** 16)];
}

export function philox(counter: readonly number[], key: readonly number[]): number[] {
  let [c0, c1, c2, c3] = counter as [number, number, number, number];
  let [k0, k1] = key as [number, number];
  for (let round = 0; round < 10; round++) {
    const [low0, high0] = wideProduct(multipliers[0], c0);
    const [low1, high1] = wideProduct(multipliers[1], c2);
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
    [k0, k1] = [(k0 + bumps[0]) >>> 0, (k1 + bumps[1]) >>> 0];
  }
  return [c0, c1, c2, c3];
}

/** The key of a tensor: XXH3-64 of the seed, 8 bytes little endian, and the name in UTF-8. */
export function tensorKey(seed: number, name: string): number[] {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(seed));
  const hash = xxh3.xxh64(Buffer.concat([bytes, Buffer.from(name)]));
  return [Number(hash & 0xffffffffn), Number(hash >> 32n)];
}

/** Draws for the elements of a tensor in turn: 32 bits each, a block of four elements at a time. */
export function drawsOf(key: readonly number[], stream: number): (index: number) => number {
  let at = -1;
  let block: number[] = [];
  return (index) => {
    const wanted = Math.floor(index / 4);
    if (wanted !== at) {
      at = wanted;
      block = philox([wanted % 2 ** 32, Math.floor(wanted / 2 ** 32), stream, 0], key);
    }
    return block[index % 4]!;
  };
}

/** An event of probability p: whether 32 random bits are below p 2^32. */
export const happens = (bits: number, p: number): boolean =>
  bits < Math.floor(Math.min(Math.max(p, 0), 1) * 2 ** 32);
