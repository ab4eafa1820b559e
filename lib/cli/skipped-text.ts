import type { SkippedFile } from '../checkpoint/sidecars.js';
import { printable } from './format.js';

/** Files named one by one. */
const named = 12;

/** Files that an output leaves out, by reason: models come in many formats, which need one line together. */
export function groupSkipped(skipped: readonly SkippedFile[]): { files: string; reason: string }[] {
  const groups = new Map<string, string[]>();
  for (const { file, reason } of skipped) groups.set(reason, [...(groups.get(reason) ?? []), file]);
  return [...groups].map(([reason, files]) => {
    const list = files.slice(0, named).map(printable);
    if (files.length > named) list.push(`and ${files.length - named} more`);
    return { files: list.join(', '), reason };
  });
}
