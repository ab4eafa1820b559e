import type { MergeOptions } from './options.js';

/** A flag without its dashes; true is given alone, undefined and false not at all. */
export type Flag = readonly [string, string | number | boolean | undefined];

/** The command line that does what `options` say, quoted for a POSIX shell. */
export function formatCommand(options: MergeOptions): string {
  const { zeroshot, finetuned, alpha, out, dtype, device, threads, memory, shardSize, force, extrapolate } =
    options;
  const flags: Flag[] = [
    ['zeroshot', zeroshot],
    ['finetuned', finetuned],
    ['alpha', typeof alpha === 'number' ? alpha : `${alpha.join(',')}${alpha.length === 1 ? ',' : ''}`],
    ['out', out],
    ['dtype', dtype],
    ['device', device === 'auto' ? undefined : device],
    ['threads', threads],
    ['memory', memory],
    ['shard-size', shardSize],
    ['extrapolate', extrapolate],
    ['force', force],
  ];
  const command = formatWords('wisemerge merge', [], flags);
  // A command line has one alpha; those of tensors come from a sweep.
  return options.tensorAlphas ? `${command} # and tensorAlphas of wisemerge.json` : command;
}

/** A command line, quoted for a POSIX shell. */
export function formatWords(command: string, operands: readonly string[], flags: readonly Flag[]): string {
  const words = flags.flatMap(([flag, value]) => {
    if (value === undefined || value === false) return [];
    return value === true ? [`--${flag}`] : [`--${flag}`, quote(String(value))];
  });
  return [command, ...operands.map(quote), ...words].join(' ');
}

/** A word as a POSIX shell reads it back. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) && !word.startsWith('-') ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
