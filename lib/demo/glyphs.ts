import { Random } from '../statistics/random.js';

/** Points of a glyph. */
export const glyphPoints = 5;
/** Largest coordinate; the picture reaches to 1. */
const extent = 0.6;
/** Root of the mean squared distance of corresponding points, below which two glyphs are taken for alike. */
export const leastDistance = 0.5;
/** A shorter segment would be lost in the stroke. */
const leastSegment = 0.3;

/** A class of pictures: x and y of the points of a polyline, in [-1, 1]. */
export type Glyph = Float64Array;

/**
 * The first `count` random polylines that lie apart from all before them, drawn in either direction: the
 * classes are part of the recipe, the same for every seed.
 */
export function makeGlyphs(count: number): Glyph[] {
  const random = new Random(2021);
  const glyphs: Glyph[] = [];
  while (glyphs.length < count) {
    const glyph = Float64Array.from({ length: 2 * glyphPoints }, () => extent * (2 * random.uniform() - 1));
    if (shortestSegment(glyph) < leastSegment) continue;
    if (glyphs.every((other) => glyphDistance(glyph, other) >= leastDistance)) glyphs.push(glyph);
  }
  return glyphs;
}

/** Root of the mean squared distance of corresponding points, in the direction in which it is smaller. */
export function glyphDistance(a: Glyph, b: Glyph): number {
  let [forward, backward] = [0, 0];
  for (let p = 0; p < glyphPoints; p++) {
    const q = glyphPoints - 1 - p;
    forward += (a[2 * p]! - b[2 * p]!) ** 2 + (a[2 * p + 1]! - b[2 * p + 1]!) ** 2;
    backward += (a[2 * p]! - b[2 * q]!) ** 2 + (a[2 * p + 1]! - b[2 * q + 1]!) ** 2;
  }
  return Math.sqrt(Math.min(forward, backward) / glyphPoints);
}

function shortestSegment(glyph: Glyph): number {
  const lengths = Array.from({ length: glyphPoints - 1 }, (_, p) =>
    Math.hypot(glyph[2 * p + 2]! - glyph[2 * p]!, glyph[2 * p + 3]! - glyph[2 * p + 1]!),
  );
  return Math.min(...lengths);
}
