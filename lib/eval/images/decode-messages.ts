import type { ImageTransform } from './transform.js';

/** What a decoding thread is started with. */
export interface DecodeWork {
  readonly transform: ImageTransform;
  /** Slots of [3, height, width] f32, one after another. */
  readonly slots: SharedArrayBuffer;
}

/** An image to decode into a slot; null ends the thread: it finishes what it has begun. */
export type DecodeRequest = {
  readonly id: number;
  readonly path: string;
  /** Bytes that the file had when its set was opened. */
  readonly size: number;
  readonly slot: number;
} | null;

/** Without a failure the slot is filled. */
export interface DecodeReply {
  readonly id: number;
  readonly failure?: DecodeFailure;
}

/** `image`: the file is read but is no image. `changed`: it is not the file that was opened. `io`: it is not read. */
export interface DecodeFailure {
  readonly kind: 'image' | 'changed' | 'io';
  readonly reason: string;
}
