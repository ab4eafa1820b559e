import { basename } from 'node:path';
import type { TimeEstimate } from '../../merge/many/estimate.js';
import type { PlanFileOptions } from '../../merge/many/options.js';
import { type DocumentPlan, type MergeFilePlan, planMergeFile } from '../../merge/many/plan-file.js';
import { formatBytes, formatDuration, formatPlural, printable, style } from '../format.js';
import type { MergeFileFlags } from '../merge-file-flags.js';
import { groupSkipped } from '../skipped-text.js';
import { printResult } from '../terminal.js';
import { endWithProblems } from './plan.js';

/** Files listed one by one. */
const listed = 12;

export async function runPlanFile(
  options: PlanFileOptions,
  flags: MergeFileFlags,
  signal: AbortSignal,
): Promise<void> {
  const plan = await planMergeFile({ ...options, estimate: true, signal });
  printResult(flags, plan, () => describe(plan));
  endWithProblems(flags, plan.problems);
}

function describe(plan: MergeFilePlan): string {
  const { documents, disk, estimate, device } = plan;
  const lines = documents.flatMap((document) => describeDocument(document, documents.length > 1));
  if (disk) lines.push(row('disk', `${formatBytes(disk.needed)} needed, ${formatBytes(disk.free)} free`));
  lines.push(row('device', device));
  if (estimate) lines.push(row('time', describeTime(estimate)));
  for (const warning of new Set(plan.warnings)) {
    lines.push(`${style('yellow', 'warning')} ${printable(warning)}`);
  }
  return lines.join('\n');
}

const row = (label: string, text: string): string => `${style('bold', label.padEnd(9))} ${text}`;

function describeDocument(plan: DocumentPlan, several: boolean): string[] {
  const { name, directory, explanation, files, memory, rereading, tokenizer, sidecars } = plan;
  const lines = several ? [style('bold', `document ${printable(name ?? 'without a name')}`)] : [];
  // Warnings come at the end, for all documents.
  const said = explanation.lines.filter((line) => !line.startsWith('warning: '));
  for (const line of said) lines.push(printable(line));
  if (directory !== undefined) lines.push(row('output', printable(directory)));
  lines.push(row('read', `${formatBytes(plan.bytesRead)}${describeRereading(rereading)}`));
  const count =
    files.length === 0
      ? 'files known once an earlier document is merged'
      : formatPlural(files.length, 'file');
  lines.push(row('write', `${formatBytes(plan.bytesWritten)} in ${count}`));
  for (const { name: file, bytes, tensors } of files.slice(0, listed)) {
    lines.push(`  ${printable(file)}  ${formatBytes(bytes)}, ${formatPlural(tensors, 'tensor')}`);
  }
  if (files.length > listed) lines.push(`  … and ${files.length - listed} more files`);
  if (memory.bytes > 0) {
    lines.push(
      row(
        'memory',
        `${formatBytes(memory.bytes)} of buffers and tables, in chunks of ${formatBytes(memory.chunk)}`,
      ),
    );
  }
  if (tokenizer.length > 0) lines.push(row('tokenizer', tokenizer.map(printable).join(', ')));
  if (files.length > 0) lines.push(row('copied', sidecars.map(printable).join(', ') || 'nothing'));
  for (const group of groupSkipped(plan.skipped)) lines.push(`not copied ${group.files}: ${group.reason}`);
  return lines;
}

function describeRereading({ tensors, bytes, memory }: DocumentPlan['rereading']): string {
  if (tensors === 0) return '';
  const larger = `${formatPlural(tensors, 'tensor')} larger than the buffers`;
  return `, and about ${formatBytes(bytes)} again for ${larger} (--memory ${Math.ceil(memory / 2 ** 20)}MiB avoids that)`;
}

function describeTime({ seconds, readSpeed, writeSpeed, sample, cached }: TimeEstimate): string {
  const read = `${formatBytes(readSpeed)}/s${cached ? ' from the page cache' : ''}`;
  return (
    `about ${seconds < 1 ? 'a second' : formatDuration(1000 * seconds)}, reading at ${read} (measured on ${printable(basename(sample))}) and ` +
    `writing at ${formatBytes(writeSpeed)}/s (taken to be the speed of reading past the page cache); computing overlaps with both`
  );
}
