import { describe, expect, test } from 'vitest';
import { checkSearch, type Found, nextAlphas, type Search } from '../../lib/selection/search.js';

const grid = [0, 0.25, 0.5, 0.75, 1];
const searchFor = (change: Partial<Search>): Search => ({
  kind: 'golden',
  grid,
  tolerance: 0.01,
  minGain: 0,
  ...change,
});

/** Runs a search for the maximum of a curve to its end; gives all alphas and the best. */
function run(search: Search, curve: (alpha: number) => number) {
  let alphas: number[] = [];
  let found: Found | undefined;
  const rounds: number[][] = [];
  for (;;) {
    const next = nextAlphas(search, found);
    if (next.length === 0) return { alphas, best: alphas[found!.index]!, rounds };
    rounds.push(next);
    alphas = [...alphas, ...next].sort((a, b) => a - b);
    const criterion = Float64Array.from(alphas, curve);
    const index = criterion.indexOf(Math.max(...criterion));
    found = { alphas: Float64Array.from(alphas), criterion, index };
    expect(rounds.length).toBeLessThan(100);
  }
}

describe.each(['refine', 'golden'] as const)('%s', (kind) => {
  test.each([0.31, 0.5, 0.137, 0.99])('finds the peak of a unimodal curve at %d', (peak) => {
    const { alphas, best } = run(searchFor({ kind }), (alpha) => -((alpha - peak) ** 2));
    expect(Math.abs(best - peak)).toBeLessThanOrEqual(0.01);
    expect(new Set(alphas).size).toBe(alphas.length);
  });

  test.each([0, 1])('finds a peak at the end %d', (peak) => {
    expect(run(searchFor({ kind }), (alpha) => -Math.abs(alpha - peak)).best).toBe(peak);
  });

  test('is never worse than the grid, whatever the curve', () => {
    const curve = (alpha: number) => Math.sin(40 * alpha) + Math.cos(23 * alpha);
    const { best } = run(searchFor({ kind }), curve);
    expect(curve(best)).toBeGreaterThanOrEqual(Math.max(...grid.map(curve)));
  });

  test('keeps to its budget', () => {
    const { alphas } = run(searchFor({ kind, budget: 7, tolerance: 1e-4 }), (alpha) => -((alpha - 0.3) ** 2));
    expect(alphas).toHaveLength(7);
  });

  test('ends where there is nothing to gain', () => {
    const flat = run(searchFor({ kind, minGain: 0.001 }), (alpha) => 0.7 + 0.0005 * alpha);
    expect(flat.rounds).toHaveLength(1);
    const steep = run(searchFor({ kind, minGain: 0.001 }), (alpha) => 0.7 - Math.abs(alpha - 0.4));
    expect(steep.rounds.length).toBeGreaterThan(2);
  });
});

test('golden section needs as many evaluations as its ratio says, and bisection two a round', () => {
  // A bracket of two steps of 0.25 shrinks by 0.618 each time in golden section; in bisection it is halved.
  const curve = (alpha: number) => -((alpha - 0.3) ** 2);
  const golden = run(searchFor({ tolerance: 0.01 }), curve);
  expect(golden.rounds.slice(1).every((round) => round.length === 1)).toBe(true);
  expect(golden.rounds.length - 1).toBeLessThanOrEqual(Math.ceil(Math.log(0.01 / 0.5) / Math.log(0.618)) + 2);
  const bisection = run(searchFor({ kind: 'refine', tolerance: 0.01 }), curve);
  expect(bisection.rounds.length - 1).toBe(Math.ceil(Math.log2(0.25 / 0.01)));
});

test('a grid is the grid', () => {
  expect(run(searchFor({ kind: 'grid' }), (alpha) => alpha).alphas).toEqual(grid);
});

test('a budget below the grid is refused', () => {
  expect(() => checkSearch(searchFor({ budget: 4 }))).toThrow(expect.objectContaining({ code: 'ERR_USAGE' }));
  expect(() => checkSearch(searchFor({ budget: 5 }))).not.toThrow();
});
