import { HostBuffer } from '../native.js';

const line = 64;

/** Offsets in a buffer about to be made: every region begins on a cache line. */
export class ArenaLayout {
  bytes = 0;

  /** Reserves `bytes`; gives their offset. */
  reserve(bytes: number): number {
    const offset = this.bytes;
    this.bytes = Math.ceil((offset + bytes) / line) * line;
    return offset;
  }
}

/** A host buffer with typed views by offset. */
export class Arena implements Disposable {
  readonly buffer: HostBuffer;

  /** Throws `ERR_OUT_OF_MEMORY`. */
  constructor(layout: ArenaLayout) {
    this.buffer = new HostBuffer(Math.max(layout.bytes, line));
  }

  bytes(offset: number, length: number): Uint8Array {
    return new Uint8Array(this.buffer.buffer, offset, length);
  }
  floats(offset: number, length: number): Float32Array {
    return new Float32Array(this.buffer.buffer, offset, length);
  }
  doubles(offset: number, length: number): Float64Array {
    return new Float64Array(this.buffer.buffer, offset, length);
  }
  ints(offset: number, length: number): Int32Array {
    return new Int32Array(this.buffer.buffer, offset, length);
  }
  counts(offset: number, length: number): Uint32Array {
    return new Uint32Array(this.buffer.buffer, offset, length);
  }

  [Symbol.dispose](): void {
    this.buffer.release();
  }
}
