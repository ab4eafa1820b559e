import { type MergeFileResult, mergeFile } from '../../merge/many/merge-file.js';
import type { MergeFileOptions } from '../../merge/many/options.js';
import type { DocumentPlan } from '../../merge/many/plan-file.js';
import { formatBytes, formatPlural, printable } from '../format.js';
import type { MergeFileFlags } from '../merge-file-flags.js';
import { warnNonFinite } from '../non-finite.js';
import { ProgressBar } from '../progress-bar.js';
import { groupSkipped } from '../skipped-text.js';
import { note, printResult, warn } from '../terminal.js';

export async function runMergeFile(
  options: MergeFileOptions,
  flags: MergeFileFlags,
  signal: AbortSignal,
): Promise<void> {
  const progress = new ProgressBar(flags);
  let result: MergeFileResult;
  try {
    result = await mergeFile({
      ...options,
      signal,
      onProgress: progress.listener,
      onPlan: (plan) => announce(plan, flags),
    });
  } finally {
    progress.end();
  }
  for (const warning of result.warnings) warn(flags, printable(warning));
  for (const { name, nonFinite } of result.documents) {
    warnNonFinite(nonFinite, name === undefined ? '' : `${printable(name)}: `);
  }
  printResult(flags, result, () => result.documents.map(({ directory }) => directory).join('\n'));
  const { bytesRead, bytesWritten, seconds } = result;
  note(flags, `${seconds.toFixed(1)} s, ${formatBytes((bytesRead + bytesWritten) / seconds)}/s`);
}

function announce(
  { name, explanation, bytesRead, bytesWritten, skipped }: DocumentPlan,
  flags: MergeFileFlags,
): void {
  const { lines, method, tensors } = explanation;
  if (flags.verbose) for (const line of lines) note(flags, printable(line));
  const which = name === undefined ? '' : `${printable(name)}: `;
  note(
    flags,
    `${which}${method}, ${formatPlural(tensors, 'tensor')}, ${formatBytes(bytesRead)} to read, ${formatBytes(bytesWritten)} to write`,
  );
  for (const { files, reason } of groupSkipped(skipped)) note(flags, `${files} not copied: ${reason}`);
}
