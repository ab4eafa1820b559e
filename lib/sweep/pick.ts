import { resolve } from 'node:path';
import { type Analysis, analyse } from './analysis.js';
import { readResult, type SweepResult } from './result.js';
import { parseRule } from './rule.js';
import { analysisOptions, readOutcomes } from './sweep-directory.js';

export interface PickOptions {
  /** How to choose; default: the sweep's own rule. */
  readonly rule?: string;
}

/**
 * Chooses alpha anew from a finished sweep, without evaluating anything. Throws ERR_SWEEP_RESULT, ERR_USAGE,
 * ERR_REPORT_SET.
 */
export async function pick(directory: string, { rule }: PickOptions = {}): Promise<Analysis> {
  const result: SweepResult = await readResult(directory);
  const sets = await readOutcomes(resolve(directory), result.sets);
  const options = analysisOptions(result.config);
  return analyse(result.alphas, sets, { ...options, ...(rule !== undefined && { rule: parseRule(rule) }) });
}
