import { WisemergeError } from '../../errors.js';
import { writeReport } from '../../report/report.js';
import type { SweepResult } from '../../sweep/result.js';
import { sweep } from '../../sweep/sweep.js';
import { reportName } from '../../sweep/sweep-directory.js';
import { formatPercent } from '../format.js';
import { ProgressLine } from '../progress-line.js';
import { type SweepFlags, toSweepConfig } from '../sweep-flags.js';
import { describeAnalysis, describeCurves, describeLayers } from '../sweep-text.js';
import { note, printResult, warn } from '../terminal.js';
import { runWatch } from './watch.js';

export async function runSweep(
  file: string | undefined,
  flags: SweepFlags,
  signal: AbortSignal,
): Promise<void> {
  if (flags.watch === undefined && flags.until !== undefined) throw unused('--until', 'is for --watch');
  if (flags.watch !== undefined) {
    if (flags.force) throw unused('--force', 'is not for --watch: delete the sweeps that are to be repeated');
    if (flags.resume) throw unused('--resume', 'is what --watch always does');
  }
  const config = await toSweepConfig(file, flags);
  if (flags.watch !== undefined) {
    const { watch, until, out } = flags;
    return await runWatch({ ...config, watch, out, ...(until !== undefined && { until }) }, flags, signal);
  }
  const progress = new ProgressLine(flags);
  let result: SweepResult;
  try {
    result = await sweep({
      ...config,
      out: flags.out,
      ...(flags.resume && { resume: true }),
      ...(flags.force && { force: true }),
      signal,
      onProgress: (at) =>
        progress.show(
          'set' in at
            ? `${at.set}: ${at.samplesDone} of ${at.samplesTotal} samples`
            : at.alpha === undefined
              ? `by layer: ${at.alphasDone} models`
              : `alpha ${at.alpha}: ${at.alphasDone} of ${at.alphasTotal} models`,
        ),
      onCompare: ({ bytesDone, bytesTotal }) =>
        progress.show(`comparing the checkpoints: ${formatPercent(bytesDone / (bytesTotal || 1))}`),
    });
  } finally {
    progress.end();
  }
  const { png } = await writeReport(flags.out);
  const { analysis } = result;
  printResult(flags, result, () =>
    [
      describeCurves(result),
      describeAnalysis(analysis, result),
      ...(result.layers ? [describeLayers(result.layers)] : []),
    ].join('\n\n'),
  );
  for (const warning of analysis.firmness?.verdict.warnings ?? []) warn(flags, warning);
  if (png === 'without-text') warn(flags, 'No font is installed: the PNGs of the plots have no text.');
  if (png === 'unavailable')
    warn(flags, 'Plots are written as SVG alone: the PNG renderer does not run here.');
  note(flags, `${result.seconds.toFixed(1)} s; results in ${flags.out}; open ${reportName} there`);
}

function unused(flag: string, why: string): WisemergeError {
  return new WisemergeError('ERR_USAGE', `${flag} ${why}`, { hint: `Leave ${flag} out.` });
}
