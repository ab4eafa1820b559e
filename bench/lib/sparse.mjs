// Models of one tensor of BF16, most of which is a hole in its file: larger than memory, and next to nothing on disk.
import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const headerBytes = 4096;
/** A megabyte of numbers of magnitudes as weights have them at every so many bytes. */
const block = 2 ** 20;
const distance = 64 * block;

/** Writes a model with the tensor `w`; gives its directory. */
export function writeSparse(directory, shape) {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, 'model.safetensors');
  const bytes = shape.reduce((product, dim) => product * dim, 2);
  const header = Buffer.alloc(headerBytes, ' ');
  header.writeBigUInt64LE(BigInt(headerBytes - 8));
  header.write(JSON.stringify({ w: { dtype: 'BF16', shape, data_offsets: [0, bytes] } }), 8);
  writeFileSync(path, header);
  truncateSync(path, headerBytes + bytes);
  const file = openSync(path, 'r+');
  for (let at = 0; at < bytes; at += distance) {
    const numbers = randomBytes(Math.min(block, bytes - at));
    // Upper bytes of sign and exponent: magnitudes from 2^-7 to 2^-4.
    for (let i = 1; i < numbers.length; i += 2) numbers[i] = (numbers[i] & 0x81) | 0x3c;
    writeSync(file, numbers, 0, numbers.length, headerBytes + at);
  }
  closeSync(file);
  return directory;
}
