import type { OutcomeSet } from '../../lib/selection/curves.js';
import { BitMatrix } from '../../lib/statistics/bits.js';
import { randomWords } from './random.js';

/** Uniform numbers on [0, 1). */
export function uniforms(seed: number): () => number {
  const next = randomWords(seed);
  // The first outputs of nearby seeds resemble one another.
  for (let i = 0; i < 20; i++) next();
  return () => next() / 2 ** 32;
}

/** Bits with the given probabilities per row, each row drawn on its own. */
export function randomBits(probabilities: readonly number[], columns: number, seed: number): BitMatrix {
  const uniform = uniforms(seed);
  const matrix = new BitMatrix(probabilities.length, columns);
  for (const [row, p] of probabilities.entries())
    for (let column = 0; column < columns; column++) matrix.set(row, column, uniform() < p);
  return matrix;
}

/** Every sample has one threshold: rows of higher probability are correct on a superset. Accuracies are exact. */
export function nestedBits(probabilities: readonly number[], columns: number): BitMatrix {
  const matrix = new BitMatrix(probabilities.length, columns);
  for (const [row, p] of probabilities.entries())
    for (let column = 0; column < Math.round(p * columns); column++) matrix.set(row, column, true);
  return matrix;
}

export function outcomeSet(
  name: string,
  kind: 'id' | 'shift',
  correct: BitMatrix,
  more: Partial<OutcomeSet> = {},
): OutcomeSet {
  return { name, kind, role: 'select', correct, ...more };
}
