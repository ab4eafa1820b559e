/** How alphas by layer are looked for. */
export interface PatternSearch {
  /** Of a vector of coordinates. */
  readonly start: readonly number[];
  /** That coordinates keep to. */
  readonly range: readonly [number, number];
  /** Of the first steps. */
  readonly step: number;
  /** Steps below this are not taken. */
  readonly tolerance: number;
  /** Coordinates that are tried together. */
  readonly together: number;
  /** Vectors to evaluate at most. */
  readonly budget: number;
}

/** Coordinates are told apart to this many decimals. */
const decimals = 6;

/**
 * Compass search (Kolda, Lewis and Torczon, SIAM Review 45, 2003, section 1.1) with opportunistic moves: coordinate by
 * coordinate, a step down and a step up; where nothing is better the step is halved. `evaluate` gives the best of all
 * vectors so far, which is where the search goes on. What it does follows from its results alone, so that a search that
 * is taken up again goes the same way.
 */
export async function searchPattern(
  { start, range: [least, most], step: first, tolerance, together, budget }: PatternSearch,
  evaluate: (vectors: readonly (readonly number[])[]) => Promise<readonly number[]>,
): Promise<void> {
  const key = (vector: readonly number[]) => vector.join(' ');
  const seen = new Set([key(start)]);
  let centre = start;
  let left = budget;
  for (let step = first; step >= tolerance; ) {
    const from = centre;
    for (let d = 0; d < start.length; d += together) {
      const trials: number[][] = [];
      for (let c = d; c < Math.min(d + together, start.length); c++) {
        for (const sign of [-1, 1]) {
          const moved = Math.min(most, Math.max(least, centre[c]! + sign * step));
          const trial = centre.with(c, Number(moved.toFixed(decimals)));
          if (trials.length >= left || seen.has(key(trial))) continue;
          seen.add(key(trial));
          trials.push(trial);
        }
      }
      if (trials.length === 0) continue;
      left -= trials.length;
      centre = await evaluate(trials);
    }
    if (left <= 0) return;
    if (key(centre) === key(from)) step /= 2;
  }
}

/**
 * The alphas of `groups` groups, by depth, that coordinates stand for: themselves, or for a `linear` schedule those of
 * the first and the last group and between them a straight line (as LiNeS scales layers; Wang et al., 2024).
 */
export function alphasOf(
  kind: 'layers' | 'linear',
  coordinates: readonly number[],
  groups: number,
): number[] {
  if (kind === 'layers') return [...coordinates];
  const [first, last] = coordinates as readonly [number, number];
  return Array.from({ length: groups }, (_, g) =>
    Number((first + ((last - first) * g) / Math.max(1, groups - 1)).toFixed(decimals)),
  );
}
