import type { OutputFlags } from './terminal.js';

const everyMs = 5000;

/** One line on stderr that says how far things are: redrawn on a terminal, repeated now and then elsewhere. */
export class ProgressLine {
  readonly #stream = process.stderr;
  readonly #silent: boolean;
  #last = performance.now();
  #drawn = false;

  constructor(flags: OutputFlags) {
    this.#silent = flags.quiet === true;
  }

  show(text: string): void {
    if (this.#silent) return;
    if (this.#stream.isTTY) {
      this.#stream.write(`\r\x1b[K${text}`);
      this.#drawn = true;
    } else if (performance.now() - this.#last >= everyMs) {
      this.#last = performance.now();
      this.#stream.write(`${text}\n`);
    }
  }

  /** Clears the line, so that what follows starts on a clean one. */
  end(): void {
    if (this.#drawn) this.#stream.write('\r\x1b[K');
    this.#drawn = false;
  }
}
