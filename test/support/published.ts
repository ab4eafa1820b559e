import type { Curves } from '../../lib/selection/curves.js';

/** CLIP ViT-B/16, fine-tuned end to end: top-1 in percent (Wortsman et al., 2022, table 5). */
export const imagenet = [
  68.3, 70.7, 72.9, 74.8, 76.4, 77.8, 78.9, 79.7, 80.5, 81.2, 81.7, 82.1, 82.4, 82.6, 82.6, 82.6, 82.5, 82.3,
  82.1, 81.7, 81.3,
];
export const averageShift = [
  58.1, 59.6, 60.8, 61.8, 62.5, 63.0, 63.3, 63.4, 63.5, 63.3, 63.0, 62.6, 61.9, 61.4, 60.6, 59.8, 58.9, 57.8,
  56.6, 55.3, 53.8,
];

/** 0, 0.05, …, 1, each the double nearest to its decimal. */
export const grid = Float64Array.from({ length: 21 }, (_, k) => Number((k / 20).toFixed(2)));

export function publishedCurves(): Curves {
  const fractions = (percents: readonly number[]): Float64Array =>
    Float64Array.from(percents, (value) => value / 100);
  return {
    alphas: grid,
    sets: [
      { name: 'imagenet', role: 'select', kind: 'id', samples: 50_000, accuracy: fractions(imagenet) },
      { name: 'shifts', role: 'select', kind: 'shift', samples: 50_000, accuracy: fractions(averageShift) },
    ],
  };
}
