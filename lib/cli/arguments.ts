import { InvalidArgumentError } from 'commander';
import { parseAlphas } from '../merge/alpha.js';

const units: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** `5GB` (decimal), `1GiB` (binary) or plain bytes. */
export function parseBytes(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text);
  const unit = units[match?.[2]?.toLowerCase() ?? '?'];
  if (!match || unit === undefined)
    throw new InvalidArgumentError('Write a size such as 5GB, 512MiB or 1000000.');
  const bytes = Math.round(Number(match[1]) * unit);
  // 2 ** 53: beyond it not every number of bytes is a number.
  if (!Number.isSafeInteger(bytes)) throw new InvalidArgumentError('Write a size below 8192TiB.');
  return bytes;
}

/** A size of mergekit's: `5B`, `500M` and `100K` are powers of 1000; `5GB` and `512MiB` as elsewhere. */
export function parseShardSize(text: string): number {
  const powers: Readonly<Record<string, string>> = { k: 'kb', m: 'mb', b: 'gb' };
  const [, number, unit] = /^\s*([\d.]+)\s*([kmb])\s*$/i.exec(text) ?? [];
  return parseBytes(number === undefined ? text : `${number}${powers[unit!.toLowerCase()]}`);
}

/** A parser of whole numbers from `low` to `high`. */
export function countBetween(low: number, high = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < low || value > high || text.trim() === '')
      throw new InvalidArgumentError(`Write a whole number from ${low} to ${high}.`);
    return value;
  };
}

export const parseCount = countBetween(1);

export const parseSeed = countBetween(0, 2 ** 32 - 1);

export function parseAmount(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0 || text.trim() === '')
    throw new InvalidArgumentError('Write a number from 0.');
  return value;
}

export function parseNames(text: string): string[] {
  const names = text.split(',').map((name) => name.trim());
  if (names.includes('')) throw new InvalidArgumentError('Write names with commas between them.');
  return names;
}

/** A lone value is one model; a list or range, even of one value, is a set of models; `best` is a sweep's choice. */
export function parseAlphaFlag(text: string): number | number[] | 'best' {
  if (text === 'best') return text;
  const alphas = parseAlphas(text);
  return /[,:]/.test(text) ? alphas : alphas[0]!;
}
