import { type ForwardOptions, forward } from '../../eval/forward.js';
import { formatNumber, formatPlural, formatTable, printable } from '../format.js';
import { note, type OutputFlags, printResult, warn } from '../terminal.js';

export interface ForwardFlags extends OutputFlags, Omit<ForwardOptions, 'alphas' | 'signal'> {
  readonly alpha?: readonly number[];
}

export async function runForward(flags: ForwardFlags, signal: AbortSignal): Promise<void> {
  const { alpha, json: _json, quiet: _quiet, ...options } = flags;
  const result = await forward({ ...options, ...(alpha && { alphas: alpha }), signal });
  printResult(flags, result, () =>
    formatTable(
      ['output', 'shape', 'value'],
      result.outputs.map(({ name, shape, value }) => [
        printable(name),
        `[${shape.join(', ')}]`,
        value === undefined ? '' : formatNumber(value),
      ]),
    ),
  );
  for (const warning of result.warnings) warn(flags, printable(warning));
  const count = formatPlural(result.outputs.length, 'output');
  note(
    flags,
    `${result.architecture} on ${result.device}: ${count} in ${result.seconds.toFixed(1)} s; ${result.file}`,
  );
}
