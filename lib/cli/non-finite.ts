import { printable } from './format.js';
import { warnOfNumbers } from './terminal.js';

/** Tensors named in a warning. */
const named = 5;

/** Warns of NaN and infinities by tensor, if there are any; `where`: in which of several outputs. */
export function warnNonFinite(nonFinite: Readonly<Record<string, number>>, where = ''): void {
  const tensors = Object.entries(nonFinite);
  if (tensors.length === 0) return;
  const list = tensors.slice(0, named).map(([tensor, count]) => `${printable(tensor)} (${count})`);
  if (tensors.length > named) list.push(`and ${tensors.length - named} more`);
  warnOfNumbers(`${where}NaN or infinite elements in ${list.join(', ')}`);
}
