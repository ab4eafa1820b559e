import { WisemergeError } from '../../errors.js';
import { type MergeResult, merge } from '../../merge/merge.js';
import { formatBytes, formatPlural, printable } from '../format.js';
import {
  checkPairFlags,
  type MergeFileFlags,
  noteNeedlessOfMerge,
  pairFlags,
  toMergeFileOptions,
} from '../merge-file-flags.js';
import { warnNonFinite } from '../non-finite.js';
import { toMergeOptions } from '../pair-flags.js';
import { ProgressBar } from '../progress-bar.js';
import { groupSkipped } from '../skipped-text.js';
import { note, printResult, warn } from '../terminal.js';
import { describePlan } from './plan.js';

export async function runMerge(
  config: string | undefined,
  out: string | undefined,
  flags: MergeFileFlags,
  signal: AbortSignal,
): Promise<void> {
  noteNeedlessOfMerge(flags);
  if (config === undefined) return await mergePair(flags, signal);
  const options = toMergeFileOptions('merge', config, out, flags);
  if (out === undefined) {
    throw new WisemergeError('ERR_USAGE', "missing required argument 'out'", {
      hint: 'Write wisemerge merge CONFIG OUT.',
    });
  }
  await (await import('./merge-file.js')).runMergeFile({ ...options, out }, flags, signal);
}

async function mergePair(given: MergeFileFlags, signal: AbortSignal): Promise<void> {
  checkPairFlags(given);
  const flags = pairFlags(given);
  const progress = new ProgressBar(flags);
  let result: MergeResult;
  try {
    result = await merge({
      ...(await toMergeOptions(flags)),
      signal,
      onProgress: progress.listener,
      onPlan: (plan) => {
        const { zeroshot, alphas, bytesRead, bytesWritten, skipped, problems } = plan;
        // Warnings and what is not copied are said in either case.
        if (given.verbose) note(flags, describePlan({ ...plan, warnings: [], skipped: [] }));
        if (problems.length > 0) return;
        const models = formatPlural(alphas.length, 'model');
        note(
          flags,
          `${formatPlural(zeroshot.tensors, 'tensor')}, ${formatBytes(bytesRead)} to read, ${formatBytes(bytesWritten)} to write, ${models}`,
        );
        for (const { files, reason } of groupSkipped(skipped)) note(flags, `${files} not copied: ${reason}`);
      },
    });
  } finally {
    progress.end();
  }
  for (const warning of result.warnings) warn(flags, printable(warning));
  for (const { alpha, nonFinite } of result.outputs) warnNonFinite(nonFinite, `alpha ${alpha}: `);
  printResult(flags, result, () => result.outputs.map(({ directory }) => directory).join('\n'));
  const { bytesRead, bytesWritten, seconds } = result;
  note(flags, `${seconds.toFixed(1)} s, ${formatBytes((bytesRead + bytesWritten) / seconds)}/s`);
}
