import { short } from './parts.js';
import {
  type Axis,
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

export interface FrontierPoint {
  readonly alpha: number;
  /** Mean accuracy of the ID sets and of the shifts, 0 to 1. */
  readonly id: number;
  readonly shift: number;
}

/** Models trained on the reference distribution alone, and the line through them where there is one. */
export interface PlottedReferences {
  readonly models: readonly { readonly name: string; readonly id: number; readonly shift: number }[];
  /** Of logit(shift) over logit(id). */
  readonly line?: { readonly slope: number; readonly intercept: number };
}

/** Logit axes make the line of models trained on ID alone straight (Taori et al., 2020). */
const logit = (p: number) => Math.log(p / (1 - p));
const logistic = (x: number) => 1 / (1 + Math.exp(-x));
const bounded = (p: number) => Math.min(Math.max(p, 0.001), 0.999);
const percent = (p: number) => `${Number((100 * p).toFixed(1))}`;

type Pair = Pick<FrontierPoint, 'id' | 'shift'>;

/**
 * Shift against ID accuracy on logit axes: the path of alpha, its Pareto frontier, the ends and the choice;
 * reference models with their line where there are any, and the line of equal accuracies where it is in sight.
 */
export function plotFrontier(
  points: readonly FrontierPoint[],
  chosen: number,
  references: PlottedReferences = { models: [] },
): string {
  const axis = (of: (point: Pair) => number, label: string, span: readonly [number, number]) => {
    const values = [...points, ...references.models].map((point) => logit(bounded(of(point))));
    const pad = 0.05 * (Math.max(...values) - Math.min(...values) || 1);
    return makeAxis({
      label,
      format: (value) => percent(logistic(value)),
      range: [Math.min(...values) - pad, Math.max(...values) + pad],
      span,
      exact: true,
      ticks: roundShares(Math.min(...values), Math.max(...values)).map(logit),
    });
  };
  const x = axis(({ id }) => id, 'ID accuracy, % (logit scale)', spanX);
  const y = axis(({ shift }) => shift, 'mean shift accuracy, % (logit scale)', spanY);
  const place = ({ id, shift }: Pair): Point => [x.at(logit(bounded(id))), y.at(logit(bounded(shift)))];
  const dots = points.map((point) => {
    const [cx, cy] = place(point);
    const best = !points.some((other) => dominates(other, point));
    const tip = `alpha ${Number(point.alpha.toFixed(4))}: ID ${percent(point.id)} %, shift ${percent(point.shift)} %`;
    const fill = best ? colour(0) : 'var(--faint, #b4b6bd)';
    return `<circle cx="${cx.toFixed(1)}" cy="${cy.toFixed(1)}" r="3.5" fill="${fill}"><title>${escapeText(tip)}</title></circle>`;
  });
  const others = references.models.map((model) => {
    const [cx, cy] = place(model);
    const tip = `${model.name}: ID ${percent(model.id)} %, shift ${percent(model.shift)} %`;
    const r = 4;
    const diamond = `M${(cx - r).toFixed(1)} ${cy.toFixed(1)}l${r} ${-r}l${r} ${r}l${-r} ${r}Z`;
    return `<path d="${diamond}" fill="none" stroke="${colour(4)}" stroke-width="1.5"><title>${escapeText(tip)}</title></path>`;
  });
  const lines = [
    straight(x, y, 1, 0, 'shift = ID', 'stroke="var(--muted, #667)" stroke-dasharray="2 4"'),
    ...(references.line
      ? [
          straight(
            x,
            y,
            references.line.slope,
            references.line.intercept,
            'baseline fit',
            `stroke="${colour(4)}"`,
          ),
        ]
      : []),
  ];
  const frontier = points
    .filter((point) => !points.some((other) => dominates(other, point)))
    .sort((a, b) => a.id - b.id)
    .map(place);
  const named = names(points, chosen, references.models, place);
  return drawing('Shift accuracy against ID accuracy', x, y, [
    ...lines,
    ...others,
    `<path d="${pathThrough(points.map(place))}" fill="none" stroke="var(--muted, #667)" opacity="0.5"/>`,
    `<path d="${pathThrough(frontier)}" fill="none" stroke="${colour(0)}" stroke-width="1.5"/>`,
    ...dots,
    ...named.map(({ ring }) => ring),
    `<g fill="var(--text, #222)" ${halo}>${named.map(({ label }) => label).join('')}</g>`,
  ]);
}

/** Rings and names of the ends and of the chosen alpha, each name where it covers the least. */
function names(
  points: readonly FrontierPoint[],
  chosen: number,
  others: readonly Pair[],
  place: (pair: Pair) => Point,
) {
  const dots = [...points, ...others].map(place);
  const taken: Box[] = [];
  const named = points.filter(({ alpha }) => alpha === 0 || alpha === 1 || alpha === chosen);
  return named.map((point) => {
    const [px, py] = place(point);
    const end = point.alpha === 0 ? 'zero-shot' : point.alpha === 1 ? 'fine-tuned' : '';
    const name = [end, point.alpha === chosen ? `chosen, α = ${short(chosen)}` : '']
      .filter((part) => part !== '')
      .join(', ');
    const places = [-7, 18, -20, 31, -33, 44].flatMap((offset) =>
      ([1, -1] as const).map((side) => boxOf(px + 9 * side, py + offset, side, name)),
    );
    const badness = (box: Box) =>
      (box.left < spanX[0] || box.right > spanX[1] || box.top < 0 || box.bottom > spanY[0] ? 1e6 : 0) +
      1e3 * taken.filter((other) => overlap(box, other)).length +
      dots.filter(([x, y]) => overlap(box, { left: x - 4, right: x + 4, top: y - 4, bottom: y + 4 })).length;
    const best = places.reduce((a, b) => (badness(b) < badness(a) ? b : a));
    taken.push(best);
    const ring = `<circle cx="${px.toFixed(1)}" cy="${py.toFixed(1)}" r="6" fill="none" stroke="var(--accent, #b00020)" stroke-width="1.5"/>`;
    return { ring, label: text(best.x, best.bottom - 3, best.side > 0 ? 'start' : 'end', name) };
  });
}

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** What a name covers that begins (side 1) or ends (side -1) at x, with its baseline at y. */
function boxOf(x: number, y: number, side: 1 | -1, name: string) {
  const length = 6.8 * name.length;
  const left = side > 0 ? x : x - length;
  return { x, side, left, right: left + length, top: y - 9, bottom: y + 3 };
}

function overlap(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

/** The part of y = slope x + intercept that lies inside the axes; nothing where none does. */
function straight(x: Axis, y: Axis, slope: number, intercept: number, name: string, style: string): string {
  const at = (value: number) => slope * value + intercept;
  const bounds = slope === 0 ? [x.from, x.to] : [y.from, y.to].map((value) => (value - intercept) / slope);
  const from = Math.max(x.from, Math.min(...bounds));
  const to = Math.min(x.to, Math.max(...bounds));
  const inside = from < to && at(from) >= y.from - 1e-9 && at(from) <= y.to + 1e-9;
  if (!inside) return '';
  const path = pathThrough([
    [x.at(from), y.at(at(from))],
    [x.at(to), y.at(at(to))],
  ]);
  return `<path d="${path}" fill="none" ${style}><title>${name}</title></path>`;
}

/** Round shares between two logits: at most eight. */
function roundShares(low: number, high: number): number[] {
  const [from, to] = [100 * logistic(low), 100 * logistic(high)];
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10].find((one) => (to - from) / one <= 6) ?? 10;
  const shares: number[] = [];
  for (let k = Math.floor(from / step); k <= Math.ceil(to / step); k++) {
    if (k * step > 0 && k * step < 100) shares.push((k * step) / 100);
  }
  return shares;
}

function dominates(a: FrontierPoint, b: FrontierPoint): boolean {
  return a.id >= b.id && a.shift >= b.shift && (a.id > b.id || a.shift > b.shift);
}
