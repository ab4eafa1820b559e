import { headInModel } from '../../eval/text/model-with-head.js';
import { makeZeroshotHead, type ZeroshotHeadOptions } from '../../eval/text/zeroshot-head.js';
import { formatNumber, formatPlural, printable } from '../format.js';
import { ProgressLine } from '../progress-line.js';
import { note, type OutputFlags, printResult, warn } from '../terminal.js';

export interface HeadFlags
  extends OutputFlags,
    Pick<ZeroshotHeadOptions, 'model' | 'out' | 'inModel' | 'force' | 'threads'> {
  readonly classes: string;
  /** A file. */
  readonly templates?: string;
  /** Repeated, texts themselves. */
  readonly template?: readonly string[];
}

export async function runHead(flags: HeadFlags, signal: AbortSignal): Promise<void> {
  const { classes, template, templates = template, json: _json, quiet: _quiet, ...options } = flags;
  const progress = new ProgressLine(flags);
  const result = await makeZeroshotHead({
    ...options,
    classNames: classes,
    ...(templates && { templates }),
    signal,
    onProgress: (done, total) => progress.show(`${done} of ${total} prompts`),
  }).finally(() => progress.end());
  const { file, dimension, templates: count, scale, truncated, seconds } = result;
  printResult(
    flags,
    result,
    () =>
      `${flags.inModel ? headInModel : 'head.weight'} [${result.classes}, ${dimension}] from ${formatPlural(count, 'template')}, scale ${formatNumber(scale)}`,
  );
  for (const warning of result.warnings) warn(flags, printable(warning));
  if (truncated > 0) warn(flags, `${truncated} prompts were too long for the model and lost their end.`);
  note(flags, `${seconds.toFixed(1)} s; ${file}`);
}
