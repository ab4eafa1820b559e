import { InvalidArgumentError, Option } from 'commander';
import { parseByteSize } from '../byte-size.js';
import { parseAlphas } from '../merge/alpha.js';

/** `5GB` (decimal), `1GiB` (binary) or plain bytes. */
export function parseBytes(text: string): number {
  try {
    return parseByteSize(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
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

export function activationOption(): Option {
  return new Option(
    '--activation <name>',
    'MLP: activation between layers (default: that of config.json, or gelu)',
  ).choices(['gelu', 'relu']);
}
