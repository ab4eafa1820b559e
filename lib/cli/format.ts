import { stripVTControlCharacters, styleText } from 'node:util';

/** `1.24 GB`: three digits in decimal units, as disks and the Hub count. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  // What is rounded to 1000 is 1.00 of the next unit.
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 || value >= 999.5 ? value.toFixed(0) : value.toPrecision(3);
  return `${digits} ${units[unit]}`;
}

/** `1.24 B` parameters. Below a million all digits, as `12,345`: Intl, which does that too, takes 12 ms to start. */
export function formatCount(count: number): string {
  if (count >= 999.95e6) return `${(count / 1e9).toFixed(2)} B`;
  if (count >= 1e6) return `${(count / 1e6).toFixed(1)} M`;
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** `1 file`, `2 files`. */
export function formatPlural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

export function formatDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes} min ${seconds % 60} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A number in a table cell: short, and never rounded to a misleading 0 or 1. */
export function formatNumber(value: number | null): string {
  if (value === null) return '–';
  if (value === 0 || Number.isInteger(value)) return String(value);
  const rounded =
    Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6 ? value.toExponential(2) : value.toPrecision(4);
  return rounded;
}

export function formatPercent(share: number): string {
  if (share === 1) return '100 %';
  return `${Math.min(share * 100, 99.99).toFixed(2)} %`;
}

/** Left-aligned first column, right-aligned rest; the header in bold on a terminal. */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  options: { left?: readonly number[] } = {},
): string {
  const left = new Set([0, ...(options.left ?? [])]);
  // Not by one call of Math.max: models have more tensors than a call takes arguments.
  const widths = header.map((cell, i) =>
    rows.reduce((width, row) => Math.max(width, row[i]?.length ?? 0), cell.length),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (left.has(i) ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  ')
      .trimEnd();
  return [style('bold', line(header)), ...rows.map(line)].join('\n');
}

/** Colour on a terminal only, and never with NO_COLOR. */
export function style(
  format: Parameters<typeof styleText>[0],
  text: string,
  stream: { isTTY?: boolean } = process.stdout,
): string {
  const { NO_COLOR, FORCE_COLOR } = process.env;
  const wanted = FORCE_COLOR !== undefined ? FORCE_COLOR !== '0' : stream.isTTY && !NO_COLOR;
  return wanted ? styleText(format, text) : text;
}

/** A tensor or file name without control characters, which a hostile checkpoint could aim at the terminal. */
export function printable(name: string): string {
  return stripVTControlCharacters(name).replace(/[\u0000-\u001f\u007f-\u009f]/g, '\ufffd');
}
