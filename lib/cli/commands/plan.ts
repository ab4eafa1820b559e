import { exitCode } from '../../errors.js';
import { type MergePlan, planMerge } from '../../merge/plan.js';
import { type Problem, refusal } from '../../merge/problems.js';
import { formatBytes, formatCount, formatPlural, printable, style } from '../format.js';
import {
  checkPairFlags,
  type MergeFileFlags,
  noteNeedlessOfMerge,
  pairFlags,
  toMergeFileOptions,
} from '../merge-file-flags.js';
import { toMergeOptions } from '../pair-flags.js';
import { groupSkipped } from '../skipped-text.js';
import { type OutputFlags, printResult } from '../terminal.js';

/** Files listed one by one in the text form. */
const listed = 12;

export async function runPlan(
  config: string | undefined,
  out: string | undefined,
  given: MergeFileFlags,
  signal: AbortSignal,
): Promise<void> {
  noteNeedlessOfMerge(given);
  if (config !== undefined) {
    const options = toMergeFileOptions('plan', config, out, given);
    return await (await import('./plan-file.js')).runPlanFile(options, given, signal);
  }
  checkPairFlags(given);
  const flags = pairFlags(given);
  const plan = await planMerge({ ...(await toMergeOptions(flags)), signal });
  printResult(flags, plan, () => describePlan(plan));
  endWithProblems(flags, plan.problems);
}

/** The plan is on stdout in full; the error makes the exit code and names the first problems for people. */
export function endWithProblems(flags: OutputFlags, problems: readonly Problem[]): void {
  if (problems.length === 0) return;
  const error = refusal(problems);
  if (!flags.json) throw error;
  process.exitCode = exitCode(error);
}

export function describePlan(plan: MergePlan): string {
  const { zeroshot, finetuned, alphas, files, memory, disk, tensors } = plan;
  const dtypes = Object.entries(plan.dtypes).map(([dtype, count]) => `${count} ${dtype}`);
  const rows: [string, string][] = [
    ['zero-shot', describeInput(zeroshot)],
    ['fine-tuned', describeInput(finetuned)],
    ['alpha', alphas.join(', ')],
    [
      'tensors',
      `${tensors.interpolated} interpolated, ${tensors.copied} copied; written as ${dtypes.join(', ')}`,
    ],
    ['read', `${formatBytes(plan.bytesRead)} ${plan.reads === 'cached' ? 'through' : 'past'} the page cache`],
    ['write', `${formatBytes(plan.bytesWritten)} in ${formatPlural(files.length * alphas.length, 'file')}`],
    [
      'memory',
      `${formatBytes(memory.bytes)} in ${memory.slots} slots, blocks of ${formatBytes(memory.block)}`,
    ],
    ['disk', `${formatBytes(disk.needed)} needed, ${formatBytes(disk.free)} free`],
    ['device', plan.device],
    ['copied', plan.sidecars.map(printable).join(', ') || 'nothing'],
  ];
  const lines = rows.map(([label, text]) => `${style('bold', label.padEnd(11))} ${text}`);
  lines.push(
    style('bold', 'output'),
    ...plan.directories.slice(0, listed).map((directory) => `  ${printable(directory)}`),
  );
  lines.push(
    ...files
      .slice(0, listed)
      .map(
        ({ name, bytes, tensors: count }) =>
          `    ${printable(name)}  ${formatBytes(bytes)}, ${formatPlural(count, 'tensor')}`,
      ),
  );
  if (files.length > listed) lines.push(`    … and ${files.length - listed} more files`);
  if (plan.index) lines.push(`    ${printable(plan.index)}`);
  for (const group of groupSkipped(plan.skipped))
    lines.push(`${style('yellow', 'not copied')} ${group.files}: ${group.reason}`);
  for (const warning of plan.warnings) lines.push(`${style('yellow', 'warning')} ${printable(warning)}`);
  return lines.join('\n');
}

function describeInput({ path, files, tensors, parameters, bytes }: MergePlan['zeroshot']): string {
  return `${printable(path)}: ${formatPlural(files, 'file')}, ${formatPlural(tensors, 'tensor')}, ${formatCount(parameters)} parameters, ${formatBytes(bytes)}`;
}
