import { writeReport } from '../../report/report.js';
import { percent } from '../../selection/figures.js';
import { type WatchOptions, watchName, watchSweep } from '../../sweep/watch.js';
import type { SweepFlags } from '../sweep-flags.js';
import { note, printResult } from '../terminal.js';

/** `sweep --watch`: a line, or with --json an object, per checkpoint. Ctrl-C is how it usually ends. */
export async function runWatch(
  options: Omit<WatchOptions, 'signal'>,
  flags: SweepFlags,
  signal: AbortSignal,
): Promise<void> {
  note(flags, `watching ${options.watch}; Ctrl-C to end`);
  try {
    for await (const found of watchSweep({ ...options, signal })) {
      const { checkpoint, alpha, score, accuracy, out, best } = found;
      await writeReport(out);
      const sets = Object.entries(accuracy).map(([name, value]) => `${name} ${percent(value)}`);
      printResult(
        flags,
        found,
        () =>
          `${checkpoint}: alpha ${alpha}, ${percent(score)} (${sets.join(', ')})${best ? ', the best so far' : ''}`,
      );
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  note(flags, `results in ${options.out}, one line per checkpoint in ${watchName}`);
}
