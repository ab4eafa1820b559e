import { expect } from 'vitest';
import { type FloatType, load, round } from './floats.js';
import type { Expected } from './oracle.js';

/** Roundings of 2^-24 (2^-53 where arithmetic is in F64) that a method may need, per model and besides. */
const roundings = { each: 2, besides: 8 };

/**
 * Holds stored elements to what an oracle expects: each must be what some number within the roundings of arithmetic
 * rounds to. A second rounding on the way to BF16 or F16 would be 2^15 times as large. Where it expects nothing finite,
 * an infinity and NaN count alike: which of them comes depends on how a sum is arranged.
 */
export function expectElements(
  what: string,
  data: Buffer,
  dtype: FloatType,
  { value, scale, or }: Expected,
  { models, compute }: { readonly models: number; readonly compute: 'F32' | 'F64' },
): void {
  const got = load(data, dtype);
  expect(got.length, what).toBe(value.length);
  // Sums of F64 oracles have roundings of their own.
  const unit = compute === 'F32' ? 2 ** -24 : 2 ** -49;
  const steps = roundings.each * models + roundings.besides;
  // Half the distance of subnormal numbers.
  const least = compute === 'F32' ? 2 ** -150 : 0;
  const wrong: string[] = [];
  for (let e = 0; e < got.length && wrong.length < 5; e++) {
    const [one, want, away] = [got[e]!, value[e]!, steps * (unit * scale[e]! + least)];
    if (Object.is(one, want) || (one === want && want === 0) || one === or?.[e]) continue;
    if (Number.isFinite(want)) {
      if (one >= round(want - away, dtype) && one <= round(want + away, dtype)) continue;
    } else if (!Number.isFinite(one)) continue;
    wrong.push(`element ${e} is ${one}, expected ${want} within ${away}`);
  }
  expect(wrong, what).toEqual([]);
}
