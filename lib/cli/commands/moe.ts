import { assembleMoe } from '../../moe/assemble.js';
import type { MoeOptions } from '../../moe/options.js';
import { type MoePlan, planMoe } from '../../moe/plan.js';
import { formatBytes, formatCount, formatPlural, printable, style } from '../format.js';
import { warnNonFinite } from '../non-finite.js';
import { ProgressBar } from '../progress-bar.js';
import { groupSkipped } from '../skipped-text.js';
import { note, printResult, warn } from '../terminal.js';
import type { MoeFlags } from './moe-flags.js';
import { endWithProblems } from './plan.js';

export async function runMoe(options: MoeOptions, flags: MoeFlags, signal: AbortSignal): Promise<void> {
  if (flags.plan) {
    const plan = await planMoe({ ...options, signal });
    printResult(flags, plan, () => describe(plan));
    return endWithProblems(flags, plan.problems);
  }
  const progress = new ProgressBar(flags);
  const result = await assembleMoe({
    ...{ ...options, signal, onProgress: progress.listener },
    onPlan: (plan) => announce(plan, flags),
  }).finally(() => progress.end());
  for (const warning of result.warnings) warn(flags, printable(warning));
  warnNonFinite(result.nonFinite);
  printResult(flags, result, () => result.directory);
  note(flags, `${result.seconds.toFixed(1)} s`);
}

function announce(plan: MoePlan, flags: MoeFlags): void {
  const { architecture, experts, parameters, bytesWritten, prompts, skipped } = plan;
  if (flags.verbose) note(flags, describe({ ...plan, warnings: [] }));
  note(
    flags,
    `${architecture} of ${experts.length} experts, ${formatCount(parameters.total)} parameters, ` +
      `${formatBytes(bytesWritten)} to write${prompts > 0 ? `, ${prompts} prompts` : ''}`,
  );
  for (const { files, reason } of groupSkipped(skipped)) note(flags, `${files} not copied: ${reason}`);
}

function describe(plan: MoePlan): string {
  const { parameters, files, memory, disk } = plan;
  const rows: [string, string][] = [
    [
      'output',
      `${printable(plan.out)}: ${plan.architecture}, ${plan.layers} layers, ${plan.tensors} tensors`,
    ],
    ['base', printable(plan.base)],
    ['experts', `${plan.expertsPerToken} per token of ${plan.experts.map(printable).join(', ')}`],
    ['shared', plan.shared.map(printable).join(', ') || 'none'],
    ['routers', plan.prompts > 0 ? `${plan.gateMode}, ${plan.prompts} prompts` : plan.gateMode],
    [
      'parameters',
      `${formatCount(parameters.total)}, ${formatCount(Math.round(parameters.active))} per token`,
    ],
    ['read', formatBytes(plan.bytesRead)],
    ['write', `${formatBytes(plan.bytesWritten)} in ${formatPlural(files.length, 'file')}`],
    ['memory', `${formatBytes(memory.bytes)}, chunks of ${formatBytes(memory.chunk)}`],
    ['disk', `${formatBytes(disk.needed)} needed, ${formatBytes(disk.free)} free`],
    ['config.json', Object.keys(plan.configChanges).join(', ')],
    ['copied', plan.sidecars.map(printable).join(', ') || 'nothing'],
  ];
  const lines = rows.map(([label, text]) => `${style('bold', label.padEnd(11))} ${text}`);
  for (const group of groupSkipped(plan.skipped))
    lines.push(`${style('yellow', 'not copied')} ${group.files}: ${group.reason}`);
  for (const warning of plan.warnings) lines.push(`${style('yellow', 'warning')} ${printable(warning)}`);
  return lines.join('\n');
}
