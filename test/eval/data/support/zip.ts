// A writer of ZIP archives (PKWARE APPNOTE, sections 4.3.7, 4.3.12 and 4.3.16), with room for lies.
import { crc32, deflateRawSync } from 'node:zlib';

export interface ZipMember {
  readonly name: string;
  readonly data: Buffer;
  /** Default: stored. */
  readonly deflate?: boolean;
  /** Uncompressed size to declare instead of the true one. */
  readonly declaredSize?: number;
  readonly declaredCrc?: number;
  /** Compression method to declare. */
  readonly declaredMethod?: number;
}

export function zip(members: readonly ZipMember[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, data, deflate = false, declaredSize, declaredCrc, declaredMethod } of members) {
    const packed = deflate ? deflateRawSync(data) : data;
    // From "compression method" to "extra field length", the same in both headers.
    const common = Buffer.alloc(22);
    common.writeUInt16LE(declaredMethod ?? (deflate ? 8 : 0), 0);
    common.writeUInt32LE(declaredCrc ?? crc32(data), 6);
    common.writeUInt32LE(packed.length, 10);
    common.writeUInt32LE(declaredSize ?? data.length, 14);
    common.writeUInt16LE(Buffer.byteLength(name), 18);
    const local = Buffer.concat([
      uint(0x04034b50, 4),
      uint(20, 2),
      uint(0, 2),
      common,
      Buffer.from(name),
      packed,
    ]);
    directory.push(
      Buffer.concat([
        uint(0x02014b50, 4),
        uint(20, 2),
        uint(20, 2),
        uint(0, 2),
        common,
        uint(0, 2),
        uint(0, 2),
        uint(0, 2),
        uint(0, 4),
        uint(offset, 4),
        Buffer.from(name),
      ]),
    );
    parts.push(local);
    offset += local.length;
  }
  const entries = Buffer.concat(directory);
  const end = Buffer.concat([
    uint(0x06054b50, 4),
    uint(0, 4),
    uint(members.length, 2),
    uint(members.length, 2),
    uint(entries.length, 4),
    uint(offset, 4),
    uint(0, 2),
  ]);
  return Buffer.concat([...parts, entries, end]);
}

function uint(value: number, bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  buffer.writeUIntLE(value, 0, bytes);
  return buffer;
}
