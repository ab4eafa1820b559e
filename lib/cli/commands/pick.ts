import { pick } from '../../sweep/pick.js';
import { plain } from '../../sweep/result.js';
import { describeAnalysis } from '../sweep-text.js';
import { type OutputFlags, printResult, warn } from '../terminal.js';

export interface PickFlags extends OutputFlags {
  readonly rule?: string;
}

export async function runPick(directory: string, flags: PickFlags): Promise<void> {
  const analysis = await pick(directory, { ...(flags.rule !== undefined && { rule: flags.rule }) });
  printResult(flags, JSON.parse(JSON.stringify(analysis, plain)), () => describeAnalysis(analysis));
  for (const warning of analysis.firmness?.verdict.warnings ?? []) warn(flags, warning);
}
