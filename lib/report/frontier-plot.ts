import { colour, drawing, escapeText, makeAxis, type Point, pathThrough, spanX, spanY, text } from './svg.js';

export interface FrontierPoint {
  readonly alpha: number;
  /** Mean accuracy of the ID sets and of the shifts, 0 to 1. */
  readonly id: number;
  readonly shift: number;
}

/** Logit axes make the line of models trained on ID alone straight (Taori et al., 2020). */
const logit = (p: number) => Math.log(p / (1 - p));
const logistic = (x: number) => 1 / (1 + Math.exp(-x));
const bounded = (p: number) => Math.min(Math.max(p, 0.001), 0.999);
const percent = (p: number) => `${Number((100 * p).toFixed(1))}`;

/** Shift against ID accuracy on logit axes: the path of alpha, its Pareto frontier, the ends and the choice. */
export function plotFrontier(points: readonly FrontierPoint[], chosen: number): string {
  const axis = (of: (point: FrontierPoint) => number, label: string, span: readonly [number, number]) => {
    const values = points.map((point) => logit(bounded(of(point))));
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
  const place = ({ id, shift }: FrontierPoint): Point => [
    x.at(logit(bounded(id))),
    y.at(logit(bounded(shift))),
  ];
  const dots = points.map((point) => {
    const [cx, cy] = place(point);
    const best = !points.some((other) => dominates(other, point));
    const tip = `alpha ${Number(point.alpha.toFixed(4))}: ID ${percent(point.id)} %, shift ${percent(point.shift)} %`;
    const fill = best ? colour(0) : 'var(--grid, #bbb)';
    return `<circle cx="${cx.toFixed(1)}" cy="${cy.toFixed(1)}" r="3.5" fill="${fill}"><title>${escapeText(tip)}</title></circle>`;
  });
  const named = points
    .filter(({ alpha }) => alpha === 0 || alpha === 1 || alpha === chosen)
    .map((point) => {
      const [px, py] = place(point);
      const name =
        point.alpha === chosen
          ? `chosen ${Number(chosen.toFixed(4))}`
          : point.alpha
            ? 'fine-tuned'
            : 'zero-shot';
      const right = px > (spanX[0] + spanX[1]) / 2;
      const ring = `<circle cx="${px.toFixed(1)}" cy="${py.toFixed(1)}" r="6" fill="none" stroke="var(--accent, #b00020)"/>`;
      return ring + text(px + (right ? -9 : 9), py - 7, right ? 'end' : 'start', name);
    });
  return drawing('Shift accuracy against ID accuracy', x, y, [
    `<path d="${pathThrough(points.map(place))}" fill="none" stroke="${colour(0)}" opacity="0.5"/>`,
    ...dots,
    `<g fill="var(--text, #222)">${named.join('')}</g>`,
  ]);
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
