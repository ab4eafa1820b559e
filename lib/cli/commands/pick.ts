import { WisemergeError } from '../../errors.js';
import { pick } from '../../sweep/pick.js';
import { pickRecords, type RecordedSet } from '../../sweep/pick-records.js';
import { describeAnalysis, describeRecords } from '../sweep-text.js';
import { note, type OutputFlags, printResult, warn } from '../terminal.js';

export interface PickFlags extends OutputFlags {
  readonly rule?: string;
  readonly set?: readonly RecordedSet[];
}

/** From a sweep's directory, or from a table of results. */
export async function runPick(path: string, flags: PickFlags, signal: AbortSignal): Promise<void> {
  const { rule, set } = flags;
  if (/\.(jsonl|csv)$/i.test(path)) {
    const picked = await pickRecords(path, { sets: set ?? [], ...(rule !== undefined && { rule }) });
    printResult(flags, picked, () => describeRecords(picked));
    note(flags, picked.note);
    noteMerge(flags, picked.selection.alpha);
    return;
  }
  if (set) {
    throw new WisemergeError('ERR_USAGE', '--set is for tables of results', {
      hint: 'A sweep knows its sets: leave it out, or name a .jsonl or .csv file.',
    });
  }
  const analysis = await pick(path, { ...(rule !== undefined && { rule }), signal });
  printResult(flags, analysis, () => describeAnalysis(analysis));
  for (const warning of analysis.firmness?.verdict.warnings ?? []) warn(flags, warning);
  noteMerge(flags, analysis.selection.alpha);
}

/** Nothing is kept of a choice: `merge --alpha best` goes by the sweep's own rule. */
function noteMerge(flags: PickFlags, alpha: number): void {
  note(flags, `to write this model: wisemerge merge --alpha ${alpha} --zeroshot … --finetuned … --out …`);
}
