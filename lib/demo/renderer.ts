import type { Random } from '../statistics/random.js';
import type { Distribution, Range } from './distributions.js';
import { type Glyph, glyphPoints } from './glyphs.js';

/** Pixels along a side. */
export const side = 16;
export const pixels: number = side * side;
/** Grey. */
export const channels = 1;
/** Of a picture, as networks of pictures take them. */
export const shape: readonly number[] = Object.freeze([channels, side, side]);

/** x, y, and the vector to the next point over its squared length: what the distance to a segment needs. */
const segmentNumbers = 6;
const segments = new Float64Array(segmentNumbers * (glyphPoints - 1));
const points = new Float64Array(2 * glyphPoints);

/**
 * Draws one picture of a glyph, [side, side] row by row, grey values in [-1, 1]: jitter of the points, an affine
 * map, the stroke by the distance to the polyline, then ground, wave, noise and occluder. Everything random comes
 * from `random`.
 */
export function drawPicture(
  glyph: Glyph,
  distribution: Distribution,
  random: Random,
  into: Float32Array,
): void {
  const normal = normalFrom(random);
  placeSegments(glyph, distribution, random);
  const thickness = within(distribution.thickness, random);
  const softness = within(distribution.softness, random);
  const contrast = within(distribution.contrast, random);
  const ink = random.uniform() < distribution.negative ? -contrast : contrast;
  const ground = around(distribution.offset, random);
  const wave = makeWave(distribution.background, random);
  const noise = within(distribution.noise, random);
  for (let row = 0; row < side; row++) {
    const y = centre(row);
    for (let column = 0; column < side; column++) {
      const x = centre(column);
      const inside = (thickness + softness - distanceToSegments(x, y)) / (2 * softness);
      const stroke = Math.min(1, Math.max(0, inside));
      const back = ground + (wave.amplitude > 0 ? waveAt(wave, x, y) : 0);
      into[row * side + column] = back + ink * stroke + noise * normal();
    }
  }
  if (random.uniform() < distribution.occluder) occlude(random, into);
  for (let i = 0; i < pixels; i++) into[i] = Math.min(1, Math.max(-1, into[i]!));
}

const centre = (index: number): number => (2 * index + 1) / side - 1;
const within = ([from, to]: Range, random: Random): number => from + (to - from) * random.uniform();
const around = (reach: number, random: Random): number => reach * (2 * random.uniform() - 1);

/** Puts the glyph, moved, into `segments`. */
function placeSegments(
  glyph: Glyph,
  { rotation, scale, shift, shear, jitter }: Distribution,
  random: Random,
): void {
  const angle = (around(rotation, random) * Math.PI) / 180;
  const size = within(scale, random);
  const slant = around(shear, random);
  const [dx, dy] = [around(shift, random), around(shift, random)];
  const [cos, sin] = [size * Math.cos(angle), size * Math.sin(angle)];
  for (let p = 0; p < glyphPoints; p++) {
    const y = glyph[2 * p + 1]! + around(jitter, random);
    const x = glyph[2 * p]! + around(jitter, random) + slant * y;
    points[2 * p] = cos * x - sin * y + dx;
    points[2 * p + 1] = sin * x + cos * y + dy;
  }
  for (let p = 0; p < glyphPoints - 1; p++) {
    const [x, y] = [points[2 * p]!, points[2 * p + 1]!];
    const [vx, vy] = [points[2 * p + 2]! - x, points[2 * p + 3]! - y];
    const square = Math.max(vx * vx + vy * vy, 1e-12);
    segments.set([x, y, vx, vy, vx / square, vy / square], p * segmentNumbers);
  }
}

function distanceToSegments(x: number, y: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (let at = 0; at < segments.length; at += segmentNumbers) {
    const [px, py] = [x - segments[at]!, y - segments[at + 1]!];
    const along = px * segments[at + 4]! + py * segments[at + 5]!;
    const t = Math.min(1, Math.max(0, along));
    const [ex, ey] = [px - t * segments[at + 2]!, py - t * segments[at + 3]!];
    const square = ex * ex + ey * ey;
    if (square < least) least = square;
  }
  return Math.sqrt(least);
}

interface Wave {
  readonly amplitude: number;
  /** Radians per half picture. */
  readonly fx: number;
  readonly fy: number;
  readonly phase: number;
}

/** Up to one and a half periods across half the picture. */
function makeWave(background: Range, random: Random): Wave {
  const amplitude = within(background, random);
  const frequency = Math.PI * (1 + 2 * random.uniform());
  const direction = 2 * Math.PI * random.uniform();
  const phase = 2 * Math.PI * random.uniform();
  return { amplitude, fx: frequency * Math.cos(direction), fy: frequency * Math.sin(direction), phase };
}

const waveAt = ({ amplitude, fx, fy, phase }: Wave, x: number, y: number): number =>
  amplitude * Math.sin(fx * x + fy * y + phase);

/** A rectangle of one grey value, a quarter to half the picture along each side. */
function occlude(random: Random, into: Float32Array): void {
  const extent = () => Math.round(side * (0.25 + 0.25 * random.uniform()));
  const [width, height] = [extent(), extent()];
  const [left, top] = [random.below(side - width + 1), random.below(side - height + 1)];
  const grey = around(0.5, random);
  for (let row = top; row < top + height; row++) {
    into.fill(grey, row * side + left, row * side + left + width);
  }
}

/** Standard normal numbers, two at a time (Box and Muller, 1958). */
function normalFrom(random: Random): () => number {
  let spare = Number.NaN;
  return () => {
    if (!Number.isNaN(spare)) {
      const value = spare;
      spare = Number.NaN;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log((random.next() + 0.5) / 2 ** 32));
    const angle = (2 * Math.PI * random.next()) / 2 ** 32;
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
}
