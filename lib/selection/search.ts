import { WisemergeError } from '../errors.js';

/**
 * `grid`: the alphas given. `refine`: bisection around the best. `golden`: golden-section search around it.
 * `chebyshev`: the alphas given, most of them by interpolation between a few (networks on images).
 * `layers`, `linear`: the alphas given, then alphas by layer around the best (`sweepLayers`).
 */
export const searchKinds = ['grid', 'refine', 'golden', 'chebyshev', 'layers', 'linear'] as const;
export type SearchKind = (typeof searchKinds)[number];

export interface Search {
  readonly kind: SearchKind;
  /** Ascending: where every search begins. */
  readonly grid: readonly number[];
  /** Largest distance from the best alpha to its neighbours at which refinement ends. */
  readonly tolerance: number;
  /** Refinement ends where the best is less than this above both its neighbours. 0: never for this reason. */
  readonly minGain: number;
  /** Most alphas to evaluate in all. */
  readonly budget?: number;
}

/** What a search has found: ascending alphas, what the rule maximises at each, and its choice. */
export interface Found {
  readonly alphas: Float64Array;
  readonly criterion: Float64Array;
  readonly index: number;
}

/** Alphas are told apart, and written in file names, to this many decimals. */
const decimals = 6;

/** Throws ERR_USAGE where the budget does not hold the grid, which every rule is decided on. */
export function checkSearch({ grid, budget = Number.POSITIVE_INFINITY }: Search): void {
  if (grid.length <= budget) return;
  throw new WisemergeError(
    'ERR_USAGE',
    `the search begins with ${grid.length} alphas; its budget is ${budget}`,
    { hint: 'Give fewer alphas, such as 0:1:0.25, or a larger budget.' },
  );
}

/**
 * The alphas to evaluate next; none when the search is over. A function of what was found alone, so that a
 * search that is taken up again goes the same way.
 *
 * Both refinements look between the best alpha and its neighbours, and so find the optimum of a unimodal
 * curve, and of others one as good as the best of the grid (golden section: Kiefer, 1953).
 */
export function nextAlphas(search: Search, found: Found | undefined): number[] {
  const { kind, grid, tolerance, minGain, budget = Number.POSITIVE_INFINITY } = search;
  if (!found) return [...grid];
  const { alphas, criterion, index } = found;
  if (kind !== 'refine' && kind !== 'golden') return [];
  const best = alphas[index]!;
  const neighbours = [index - 1, index + 1].filter((k) => k >= 0 && k < alphas.length);
  const lead = (k: number) => criterion[index]! - criterion[k]!;
  if (minGain > 0 && neighbours.every((k) => lead(k) < minGain)) return [];
  const wide = neighbours.filter((k) => Math.abs(alphas[k]! - best) > tolerance);
  const step = kind === 'golden' ? (3 - Math.sqrt(5)) / 2 : 1 / 2;
  const widest = wide.toSorted((j, k) => Math.abs(alphas[k]! - best) - Math.abs(alphas[j]! - best));
  const towards = kind === 'golden' ? widest.slice(0, 1) : wide;
  const next = towards.map((k) => Number((best + step * (alphas[k]! - best)).toFixed(decimals)));
  return next.filter((alpha) => !alphas.includes(alpha)).slice(0, Math.max(0, budget - alphas.length));
}
