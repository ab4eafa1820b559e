import { extractLora } from '../../merge/lora/extract.js';
import type { ExtractLoraResult } from '../../merge/lora/extract-report.js';
import { formatBytes, formatNumber, formatPercent, formatPlural, formatTable, printable } from '../format.js';
import { ProgressBar } from '../progress-bar.js';
import { note, printResult, warn } from '../terminal.js';
import type { ExtractLoraFlags } from './extract-lora-flags.js';

/** Tensors that are left out, listed one by one. */
const listed = 8;

export async function runExtractLora(flags: ExtractLoraFlags, signal: AbortSignal): Promise<void> {
  const { json: _json, quiet: _quiet, ...options } = flags;
  const progress = new ProgressBar(flags);
  const result = await extractLora({ ...options, signal, onProgress: progress.listener }).finally(() =>
    progress.end(),
  );
  for (const warning of result.warnings) warn(flags, printable(warning));
  printResult(flags, result, () => describe(result));
  const { left, directory, bytesWritten, seconds } = result;
  if (left.length > 0) {
    const names = left
      .slice(0, listed)
      .map(
        ({ name, why, share }) => `${printable(name)} (${why}, ${formatPercent(share)} of the total loss)`,
      );
    if (left.length > listed) names.push(`and ${left.length - listed} more`);
    warn(flags, `changed, but not in the adapter: ${names.join(', ')}`);
  }
  note(flags, `${seconds.toFixed(1)} s; ${formatBytes(bytesWritten)} in ${directory}`);
}

function describe({ tensors, total, saved, unchanged }: ExtractLoraResult): string {
  const rows = tensors.map(({ name, shape, rank, energy, relativeError }) => [
    printable(name),
    `[${shape.join(', ')}]`,
    String(rank),
    formatPercent(energy),
    formatNumber(relativeError),
  ]);
  const all = ['all', '', '', formatPercent(total.energy), formatNumber(total.relativeError)];
  const lines = [formatTable(['weight', 'shape', 'rank', 'energy', 'error'], [...rows, all])];
  if (saved.length > 0) lines.push(`${formatPlural(saved.length, 'tensor')} stored whole`);
  if (unchanged > 0) lines.push(`${formatPlural(unchanged, 'tensor')} equal in both models`);
  return lines.join('\n');
}
