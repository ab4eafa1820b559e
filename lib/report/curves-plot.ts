import type { StepFunction } from '../statistics/step-function.js';
import {
  colour,
  drawing,
  escapeText,
  halo,
  makeAxis,
  type Point,
  pathThrough,
  spanX,
  spanY,
  text,
} from './svg.js';

export interface PlottedSet {
  readonly name: string;
  /** Top-1 at each alpha, 0 to 1. */
  readonly accuracy: readonly number[];
  /** Simultaneous band at each alpha. */
  readonly band?: { readonly lower: ArrayLike<number>; readonly upper: ArrayLike<number> };
  /** At every alpha. */
  readonly exact?: StepFunction;
}

const percent = (value: number) => `${Number((100 * value).toFixed(2))}`;

/**
 * Accuracy against alpha: the exact curve of every set, its band at the evaluated alphas and its chord,
 * and lines at the chosen alpha and both ends.
 */
export function plotCurves(alphas: readonly number[], sets: readonly PlottedSet[], chosen: number): string {
  const values = sets.flatMap(({ accuracy, band }) =>
    band ? [...Array.from(band.lower), ...Array.from(band.upper)] : accuracy,
  );
  const x = makeAxis({
    label: 'alpha',
    format: (value) => String(Number(value.toFixed(4))),
    range: [alphas[0]!, alphas.at(-1)!],
    span: spanX,
    exact: true,
  });
  const y = makeAxis({
    label: 'top-1 accuracy, %',
    format: percent,
    range: [Math.min(...values), Math.max(...values)],
    span: spanY,
  });
  const layers = sets.flatMap(({ name, accuracy, band, exact }, s) => {
    const edge = (values: ArrayLike<number>) =>
      alphas.map((alpha, k): Point => [x.at(alpha), y.at(values[k]!)]);
    const outline = band && [...edge(band.upper), ...edge(band.lower).reverse()];
    const dots = alphas.map((alpha, k) => {
      const tip = `${name}: ${percent(accuracy[k]!)} % at alpha ${Number(alpha.toFixed(4))}`;
      const place = `cx="${x.at(alpha).toFixed(1)}" cy="${y.at(accuracy[k]!).toFixed(1)}"`;
      return `<circle ${place} r="2.5" fill="${colour(s)}"><title>${escapeText(tip)}</title></circle>`;
    });
    const steps = exact
      ? thin(exact, x.from, x.to, Math.round(spanX[1] - spanX[0]))
      : alphas.map((alpha, k): Point => [alpha, accuracy[k]!]);
    const curve = pathThrough(steps.map(([alpha, value]) => [x.at(alpha), y.at(value)]));
    // Linear connectivity is judged by the straight line between the ends.
    const chord = pathThrough(
      [0, 1].map((alpha) => [x.at(alpha), y.at(accuracy[alphas.indexOf(alpha)]!)] as const),
    );
    return [
      `<path d="${chord}" stroke="${colour(s)}" stroke-dasharray="1 4" opacity="0.8"><title>${escapeText(name)}: chord</title></path>`,
      ...(outline ? [`<path d="${pathThrough(outline)}Z" fill="${colour(s)}" opacity="0.15"/>`] : []),
      `<path d="${curve}" fill="none" stroke="${colour(s)}" stroke-width="1.2"/>`,
      ...dots,
    ];
  });
  const lines: [number, string, string][] = [
    [0, 'zero-shot', 'var(--muted, #667)'],
    [1, 'fine-tuned', 'var(--muted, #667)'],
    [chosen, `chosen ${Number(chosen.toFixed(4))}`, 'var(--accent, #b00020)'],
  ];
  const markers = lines.map(([alpha, name, stroke], i) => {
    const at = x.at(alpha);
    const anchor = at > spanX[1] - 90 ? 'end' : 'start';
    // The chosen alpha has a line of text of its own: it may lie close to an end.
    const above = i === lines.length - 1 ? 19 : 4;
    const label = text(at + (anchor === 'end' ? -4 : 4), spanY[1] - above, anchor, name);
    const line = `<path d="M${at.toFixed(1)} ${spanY[0]}V${spanY[1] - above - 10}" stroke="${stroke}" stroke-dasharray="4 3"/>`;
    return { line, label: `<g fill="${stroke}" ${halo}>${label}</g>` };
  });
  const marked = [...markers.map(({ line }) => line), ...markers.map(({ label }) => label)];
  return drawing('Accuracy against alpha', x, y, [...layers, ...marked]);
}

/** Lowest and highest value in each of `columns` parts of [from, to]: what a step function looks like. */
export function thin(path: StepFunction, from: number, to: number, columns: number): Point[] {
  const points: Point[] = [];
  let i = 0;
  for (let column = 0; column < columns; column++) {
    const begin = from + ((to - from) * column) / columns;
    const end = from + ((to - from) * (column + 1)) / columns;
    while (i + 1 < path.alphas.length - 1 && path.alphas[i + 1]! <= begin) i++;
    let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (let j = i; j < path.alphas.length - 1 && path.alphas[j]! < end; j++) {
      const value = path.after[j]!;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    if (low > high) continue;
    points.push([begin, low]);
    if (high > low) points.push([begin, high]);
  }
  points.push([to, path.after.at(-1)!]);
  return points;
}
