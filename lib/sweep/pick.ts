import { resolve } from 'node:path';
import { checkCall } from '../call-options.js';
import { checkOptions, text } from '../merge/option-checks.js';
import { type Analysis, analyse } from '../selection/analysis.js';
import { parseRule } from '../selection/rule.js';
import { readResult, type SweepResult } from './result.js';
import { analysisOptions, readOutcomes } from './sweep-directory.js';

export interface PickOptions {
  /** How to choose; default: the sweep's own rule. */
  readonly rule?: string;
}

/**
 * Chooses alpha anew from a finished sweep, without evaluating anything. Throws ERR_SWEEP_RESULT, ERR_USAGE,
 * ERR_REPORT_SET.
 */
export async function pick(directory: string, options: PickOptions = {}): Promise<Analysis> {
  checkCall(options);
  checkOptions(options, { rule: text }, []);
  const { rule } = options;
  const result: SweepResult = await readResult(directory);
  const sets = await readOutcomes(resolve(directory), result.sets);
  const own = analysisOptions(result.config);
  return analyse(result.alphas, sets, { ...own, ...(rule !== undefined && { rule: parseRule(rule) }) });
}
