import { assembleMoe } from '../../moe/assemble.js';
import { type MoePlan, planMoe } from '../../moe/plan.js';
import { formatBytes, formatCount, printable, style } from '../format.js';
import { ProgressBar } from '../progress-bar.js';
import { note, printResult, warn } from '../terminal.js';
import type { MoeFlags } from './moe-flags.js';
import { endWithProblems } from './plan.js';

export async function runMoe(
  config: string,
  out: string,
  flags: MoeFlags,
  signal: AbortSignal,
): Promise<void> {
  const { json: _json, quiet: _quiet, plan: planned, transformersCache: cache, ...given } = flags;
  const options = { ...given, ...(cache !== undefined && { cache }) };
  if (planned) {
    const plan = await planMoe({ config, out, ...options, signal });
    printResult(flags, plan, () => describe(plan));
    return endWithProblems(flags, plan.problems);
  }
  const progress = new ProgressBar(flags);
  const result = await assembleMoe({
    ...{ config, out, ...options, signal, onProgress: progress.listener },
    onPlan: ({ architecture, experts, parameters, bytesWritten, prompts }) =>
      note(
        flags,
        `${architecture} of ${experts.length} experts, ${formatCount(parameters.total)} parameters, ` +
          `${formatBytes(bytesWritten)} to write${prompts > 0 ? `, ${prompts} prompts` : ''}`,
      ),
  }).finally(() => progress.end());
  for (const warning of result.warnings) warn(flags, printable(warning));
  const bad = Object.entries(result.nonFinite).map(([name, count]) => `${printable(name)} (${count})`);
  if (bad.length > 0) warn(flags, `NaN or infinite elements in ${bad.slice(0, 5).join(', ')}`);
  printResult(flags, result, () => result.directory);
  note(flags, `${result.seconds.toFixed(1)} s`);
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
    [
      'write',
      `${formatBytes(plan.bytesWritten)} in ${files.length === 1 ? '1 file' : `${files.length} files`}`,
    ],
    ['memory', `${formatBytes(memory.bytes)}, chunks of ${formatBytes(memory.chunk)}`],
    ['disk', `${formatBytes(disk.needed)} needed, ${formatBytes(disk.free)} free`],
    ['config.json', Object.keys(plan.configChanges).join(', ')],
    ['copied', plan.sidecars.map(printable).join(', ') || 'nothing'],
  ];
  const lines = rows.map(([label, text]) => `${style('bold', label.padEnd(11))} ${text}`);
  for (const warning of plan.warnings) lines.push(`${style('yellow', 'warning')} ${printable(warning)}`);
  return lines.join('\n');
}
