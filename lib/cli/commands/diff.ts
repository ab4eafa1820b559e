import { type DiffResult, diff } from '../../merge/diff.js';
import { formatNumber, formatPercent, formatTable, printable } from '../format.js';
import { ProgressBar } from '../progress-bar.js';
import { type OutputFlags, printResult } from '../terminal.js';

export interface DiffFlags extends OutputFlags {
  readonly threads?: number;
  readonly memory?: number;
}

export async function runDiff(
  first: string,
  second: string,
  flags: DiffFlags,
  signal: AbortSignal,
): Promise<void> {
  const progress = new ProgressBar(flags);
  let result: DiffResult;
  try {
    const { threads, memory } = flags;
    result = await diff(first, second, {
      signal,
      onProgress: progress.listener,
      ...(threads !== undefined && { threads }),
      ...(memory !== undefined && { memory }),
    });
  } finally {
    progress.end();
  }
  printResult(flags, result, () => describe(result));
}

function describe({ tensors, total, exact, onlyInFirst, onlyInSecond, incomparable }: DiffResult): string {
  const row = (name: string, item: DiffResult['total']): string[] => [
    name,
    formatNumber(item.relativeL2),
    item.cosine === null ? '–' : item.cosine.toFixed(6),
    formatNumber(item.maxAbs),
    item.unchanged === null ? '–' : formatPercent(item.unchanged),
    item.nan.join('/'),
    item.inf.join('/'),
  ];
  const table = formatTable(
    ['tensor', '‖Δ‖/‖x‖', 'cosine', 'max |Δ|', 'unchanged', 'NaN x/y', 'Inf x/y'],
    [...tensors.map((item) => row(printable(item.name), item)), row('all', total)],
  );
  const lines = [table];
  for (const { name, dtype, equal } of exact)
    lines.push(`${printable(name)} (${dtype}): ${equal ? 'equal' : 'different'}`);
  for (const { name, first, second } of incomparable)
    lines.push(`${printable(name)}: ${first} and ${second} cannot be compared`);
  for (const name of onlyInFirst) lines.push(`${printable(name)}: only in the first`);
  for (const name of onlyInSecond) lines.push(`${printable(name)}: only in the second`);
  return lines.join('\n');
}
