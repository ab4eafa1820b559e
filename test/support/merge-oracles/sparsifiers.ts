// Which elements of a delta are kept: by magnitude (TIES), at random (DARE), between outliers (Breadcrumbs), and at
// random by rank (DELLA). Equal magnitudes rank by index.
import { drawsOf, happens, tensorKey } from './philox.js';
import { ranks } from './ranks.js';

export interface SparsifierInput {
  readonly delta: Float64Array;
  readonly density: number;
  /** Of breadcrumbs. */
  readonly gamma: number;
  /** Of DELLA. */
  readonly epsilon: number;
  readonly shape: readonly number[];
  readonly seed: number;
  readonly name: string;
  /** Which of the models, counted without the base. */
  readonly model: number;
}

export type Sparsifier = (input: SparsifierInput) => Uint8Array;

/** Yadav et al., 2023, section 3: the int(density n) largest; the lowest index first where they are equal. */
export const magnitude: Sparsifier = ({ delta, density }) => {
  const kept = Math.trunc(density * delta.length);
  return Uint8Array.from(ranks(delta.map(Math.abs), 'descending'), (rank) => Number(rank < kept));
};

/** Yu et al., 2024, section 3.2: each element with probability `density`. */
export const random: Sparsifier = ({ delta, density, seed, name, model }) => {
  const draw = drawsOf(tensorKey(seed, name), model);
  return Uint8Array.from(delta, (_, e) => Number(happens(draw(e), density)));
};

/**
 * Davari and Belilovsky, 2024, section 3: the smallest and the int(gamma n) largest are dropped, int(density n) left;
 * where there are too few for both, fewer outliers are dropped.
 */
export const outliers: Sparsifier = ({ delta, density, gamma }) => {
  const n = delta.length;
  const target = Math.trunc(density * n);
  let top = Math.trunc(gamma * n);
  let bottom = n - target - top;
  if (bottom < 0) {
    top += bottom;
    bottom = 0;
  }
  const kept = (rank: number): boolean => rank >= bottom && rank < n - top;
  return Uint8Array.from(ranks(delta.map(Math.abs), 'ascending'), (rank) => Number(kept(rank)));
};

/** Deep, Bhardwaj and Poria, 2024, section 3.1, MagPrune: p rises with the rank in the row. */
export const magprune: Sparsifier = ({ delta, density, epsilon, shape, seed, name, model }) => {
  const mask = new Uint8Array(delta.length);
  if (density <= 0) return mask;
  const row = shape.length < 2 ? delta.length : delta.length / shape[0]!;
  const draw = drawsOf(tensorKey(seed, name), model);
  for (let from = 0; from < delta.length; from += row) {
    const sizes = delta.subarray(from, from + row).map(Math.abs);
    for (const [k, rank] of ranks(sizes, 'ascending').entries()) {
      const p = row === 1 ? density : density - epsilon + 2 * epsilon * (rank / (row - 1));
      mask[from + k] = Number(happens(draw(from + k), p));
    }
  }
  return mask;
};
