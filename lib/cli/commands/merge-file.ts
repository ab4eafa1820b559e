import { type DocumentResult, type MergeFileResult, mergeFile } from '../../merge/many/merge-file.js';
import type { MergeFileOptions } from '../../merge/many/options.js';
import type { DocumentPlan } from '../../merge/many/plan-file.js';
import { formatBytes, printable } from '../format.js';
import type { MergeFileFlags } from '../merge-file-flags.js';
import { ProgressBar } from '../progress-bar.js';
import { groupSkipped } from '../skipped-text.js';
import { note, printResult, warn, warnOfNumbers } from '../terminal.js';

/** Tensors with non-finite elements named in a warning. */
const named = 5;

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
  for (const document of result.documents) warnNonFinite(document);
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
    `${which}${method}, ${tensors} tensors, ${formatBytes(bytesRead)} to read, ${formatBytes(bytesWritten)} to write`,
  );
  for (const { files, reason } of groupSkipped(skipped)) note(flags, `${files} not copied: ${reason}`);
}

function warnNonFinite({ name, nonFinite }: DocumentResult): void {
  const tensors = Object.entries(nonFinite);
  if (tensors.length === 0) return;
  const list = tensors.slice(0, named).map(([tensor, count]) => `${printable(tensor)} (${count})`);
  if (tensors.length > named) list.push(`and ${tensors.length - named} more`);
  const which = name === undefined ? '' : `${printable(name)}: `;
  warnOfNumbers(`${which}NaN or infinite elements in ${list.join(', ')}`);
}
