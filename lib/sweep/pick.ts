import { resolve } from 'node:path';
import { beginCall } from '../call-options.js';
import { checkOptions, text } from '../merge/option-checks.js';
import { type Analysis, analyse } from '../selection/analysis.js';
import { parseRule } from '../selection/rule.js';
import { inTurns } from '../statistics/turns.js';
import { readResult, type SweepResult } from './result.js';
import { analysisOptions, readOutcomes } from './sweep-directory.js';

export interface PickOptions {
  /** How to choose; default: the sweep's own rule. */
  readonly rule?: string;
  readonly signal?: AbortSignal;
}

/**
 * Chooses alpha anew from a finished sweep, without evaluating anything. Throws ERR_SWEEP_RESULT, ERR_USAGE,
 * ERR_REPORT_SET, or with the reason of the signal.
 */
export async function pick(directory: string, options: PickOptions = {}): Promise<Analysis> {
  using _call = beginCall(options);
  const { signal, ...given } = options;
  checkOptions(given, { rule: text }, []);
  const { rule } = given;
  const result: SweepResult = await readResult(directory);
  const sets = await readOutcomes(resolve(directory), result.sets);
  const own = analysisOptions(result.config);
  const chosen = { ...own, ...(rule !== undefined && { rule: parseRule(rule) }) };
  return await inTurns(analyse(result.alphas, sets, chosen), signal);
}
