import { WisemergeError } from '../errors.js';

/** More outputs than this in one pass are a mistake in the step of a range. */
const maxAlphas = 1001;

/**
 * Parses the command line's alphas: a number, a list `0.1,0.3`, a range `start:end:step` with both ends
 * included, or a mixture. Returns them in order of appearance, without repeats. Throws ERR_USAGE that names `option`.
 */
export function parseAlphas(text: string, option = '--alpha'): number[] {
  const fail = (why: string) => badAlphas(option, text, why);
  const alphas = new Set<number>();
  // A trailing comma asks for a list of one.
  for (const part of text.replace(/,$/, '').split(',')) {
    const numbers = part.split(':').map((field) => parseNumber(field, fail));
    if (numbers.length === 1) alphas.add(numbers[0]!);
    else if (numbers.length === 3) {
      for (const alpha of range(numbers[0]!, numbers[1]!, numbers[2]!, fail)) alphas.add(alpha);
    } else throw fail(`"${part}" is neither a number nor start:end:step`);
  }
  return [...alphas];
}

type Fail = (why: string) => WisemergeError;

function parseNumber(field: string, fail: Fail): number {
  const trimmed = field.trim();
  const value = Number(trimmed);
  if (trimmed === '' || !Number.isFinite(value)) throw fail(`"${field}" is not a number`);
  return value;
}

function range(start: number, end: number, step: number, fail: Fail): number[] {
  const steps = (end - start) / step;
  if (!(steps >= 0) || !Number.isFinite(steps))
    throw fail(`a step of ${step} never leads from ${start} to ${end}`);
  if (steps >= maxAlphas) throw fail(`${Math.floor(steps) + 1} values; the limit is ${maxAlphas}`);
  // Half a percent of a step forgives the binary representation of decimal steps: 0:1:0.05 has 21 values.
  const count = Math.floor(steps + 0.005);
  // Twelve digits undo the rounding of start + i * step, so that 0.15 is the double nearest to 0.15.
  return Array.from({ length: count + 1 }, (_, i) => Number((start + i * step).toFixed(12)));
}

function badAlphas(option: string, text: string, why: string): WisemergeError {
  return new WisemergeError('ERR_USAGE', `${option} ${text}: ${why}`, {
    hint: 'Write one value (0.5), a list (0.1,0.3,0.5) or a range with step (0:1:0.05).',
  });
}

/** Checks a list of alphas: finite, distinct in their directory names, and in [0, 1] unless `extrapolate`.
 * Throws ERR_ALPHA_RANGE or ERR_USAGE. */
export function checkAlphas(alphas: readonly number[], extrapolate: boolean): void {
  if (alphas.length === 0) throw new WisemergeError('ERR_USAGE', 'no alpha given');
  if (alphas.length > maxAlphas)
    throw new WisemergeError('ERR_USAGE', `${alphas.length} alphas; the limit is ${maxAlphas}`);
  for (const alpha of alphas) {
    if (!Number.isFinite(alpha))
      throw new WisemergeError('ERR_ALPHA_RANGE', `alpha ${alpha} is not a finite number`);
    if ((alpha < 0 || alpha > 1) && !extrapolate) {
      throw new WisemergeError('ERR_ALPHA_RANGE', `alpha ${alpha} lies outside [0, 1]`, {
        hint: 'alpha 0 is the zero-shot model, 1 the fine-tuned one. Pass extrapolate (--extrapolate) if you mean to go beyond them.',
      });
    }
  }
  if (new Set(alphas).size < alphas.length)
    throw new WisemergeError('ERR_USAGE', `alpha given twice: ${alphas.join(', ')}`);
}

/** Directory names of several alphas: `alpha_0.1000`, with as many more digits as tell them apart. */
export function alphaNames(alphas: readonly number[]): string[] {
  for (let digits = 4; digits < 17; digits++) {
    const names = alphas.map((alpha) => `alpha_${alpha.toFixed(digits)}`);
    if (new Set(names).size === names.length) return names;
  }
  return alphas.map((alpha) => `alpha_${alpha}`);
}
