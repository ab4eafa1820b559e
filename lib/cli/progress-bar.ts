import type { Progress, ProgressListener } from '../checkpoint/progress.js';
import { formatBytes, formatDuration } from './format.js';
import type { OutputFlags } from './terminal.js';

const width = 24;
/** Between lines where there is no terminal to redraw. */
const lineEveryMs = 5000;

/** Shows progress on stderr: a bar that redraws itself on a terminal, a line every few seconds elsewhere. */
export class ProgressBar {
  readonly #stream = process.stderr;
  readonly #silent: boolean;
  #lastLine = performance.now();
  #drawn = false;

  constructor(flags: OutputFlags) {
    this.#silent = flags.quiet === true;
  }

  readonly listener: ProgressListener = (progress) => {
    if (this.#silent || progress.bytesTotal === 0) return;
    if (this.#stream.isTTY) {
      this.#stream.write(`\r\x1b[K${bar(progress)} ${summary(progress)}`);
      this.#drawn = true;
    } else if (performance.now() - this.#lastLine >= lineEveryMs) {
      this.#lastLine = performance.now();
      this.#stream.write(`${summary(progress)}\n`);
    }
  };

  /** Clears the bar, so that what follows starts on a clean line. */
  end(): void {
    if (this.#drawn) this.#stream.write('\r\x1b[K');
    this.#drawn = false;
  }
}

function bar({ bytesDone, bytesTotal }: Progress): string {
  const filled = Math.round(width * share(bytesDone, bytesTotal));
  return `${'█'.repeat(filled)}${'░'.repeat(width - filled)}`;
}

function summary({ bytesDone, bytesTotal, bytesPerSec, etaMs }: Progress): string {
  const percent = Math.floor(100 * share(bytesDone, bytesTotal));
  const eta = etaMs === undefined ? '' : `, ${formatDuration(etaMs)} left`;
  return `${percent} % of ${formatBytes(bytesTotal)}, ${formatBytes(bytesPerSec)}/s${eta}`;
}

/** At most 1: a damaged file under verification can hold more than its manifest says. */
function share(bytesDone: number, bytesTotal: number): number {
  return Math.min(bytesDone / bytesTotal, 1);
}
