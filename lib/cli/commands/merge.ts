import { WisemergeError } from '../../errors.js';
import { type MergeOutput, type MergeResult, merge } from '../../merge/merge.js';
import { formatBytes, printable } from '../format.js';
import {
  checkPairFlags,
  type MergeFileFlags,
  noteNeedlessOfMerge,
  pairFlags,
  toMergeFileOptions,
} from '../merge-file-flags.js';
import { toMergeOptions } from '../merge-flags.js';
import { ProgressBar } from '../progress-bar.js';
import { groupSkipped } from '../skipped-text.js';
import { note, printResult, warn, warnOfNumbers } from '../terminal.js';

/** Tensors with non-finite elements named in a warning. */
const named = 5;

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
      onPlan: ({ zeroshot, alphas, bytesRead, bytesWritten, skipped }) => {
        const models = alphas.length === 1 ? '1 model' : `${alphas.length} models`;
        note(
          flags,
          `${zeroshot.tensors} tensors, ${formatBytes(bytesRead)} to read, ${formatBytes(bytesWritten)} to write, ${models}`,
        );
        for (const { files, reason } of groupSkipped(skipped)) note(flags, `${files} not copied: ${reason}`);
      },
    });
  } finally {
    progress.end();
  }
  for (const warning of result.warnings) warn(flags, printable(warning));
  for (const output of result.outputs) warnNonFinite(output);
  printResult(flags, result, () => result.outputs.map(({ directory }) => directory).join('\n'));
  const { bytesRead, bytesWritten, seconds } = result;
  note(flags, `${seconds.toFixed(1)} s, ${formatBytes((bytesRead + bytesWritten) / seconds)}/s`);
}

function warnNonFinite({ alpha, nonFinite }: MergeOutput): void {
  const tensors = Object.entries(nonFinite);
  if (tensors.length === 0) return;
  const list = tensors.slice(0, named).map(([name, count]) => `${printable(name)} (${count})`);
  if (tensors.length > named) list.push(`and ${tensors.length - named} more`);
  warnOfNumbers(`alpha ${alpha}: NaN or infinite elements in ${list.join(', ')}`);
}
