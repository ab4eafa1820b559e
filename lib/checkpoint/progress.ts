/** A long call's state, reported at most ten times a second. */
export interface Progress {
  /**
   * `check`: tensors that must be equal are compared. `stream`: the work itself, reading and writing. `finish`: small
   * files, and the output's name.
   */
  readonly phase: 'check' | 'stream' | 'finish';
  /** In this phase. */
  readonly bytesDone: number;
  /** Of this phase; 0 where it reads no tensors, as `finish` never does: a share of it is for `stream`. */
  readonly bytesTotal: number;
  /** Since the phase began. */
  readonly bytesPerSec: number;
  /** Undefined until there is a rate. */
  readonly etaMs: number | undefined;
  /** The tensor last worked on. */
  readonly tensor: string | undefined;
}

export type ProgressListener = (progress: Progress) => void;

const intervalMs = 100;

/** Counts bytes and calls a listener. */
export class ProgressMeter {
  readonly #listener: ProgressListener | undefined;
  #phase: Progress['phase'] = 'check';
  #total = 0;
  #done = 0;
  #began = 0;
  #reported = 0;
  #tensor: string | undefined;

  constructor(listener: ProgressListener | undefined) {
    this.#listener = listener;
  }

  start(phase: Progress['phase'], bytesTotal: number): void {
    this.#phase = phase;
    this.#total = bytesTotal;
    this.#done = 0;
    this.#tensor = undefined;
    this.#began = performance.now();
    this.#report(true);
  }

  add(bytes: number, tensor?: string): void {
    this.#done += bytes;
    this.#tensor = tensor ?? this.#tensor;
    this.#report(this.#done === this.#total);
  }

  #report(always: boolean): void {
    const now = performance.now();
    if (!this.#listener || (!always && now - this.#reported < intervalMs)) return;
    this.#reported = now;
    const elapsed = (now - this.#began) / 1000;
    const bytesPerSec = elapsed > 0 ? this.#done / elapsed : 0;
    this.#listener({
      phase: this.#phase,
      bytesDone: this.#done,
      bytesTotal: this.#total,
      bytesPerSec,
      etaMs: bytesPerSec > 0 ? (1000 * (this.#total - this.#done)) / bytesPerSec : undefined,
      tensor: this.#tensor,
    });
  }
}
