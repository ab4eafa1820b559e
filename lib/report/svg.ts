/** Text for XML and HTML. */
export function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** A linear axis from data to the drawing. */
export interface Axis {
  readonly from: number;
  readonly to: number;
  readonly ticks: readonly number[];
  readonly label: string;
  /** Where a value lies, in the drawing's units. */
  at(value: number): number;
  /** A tick's text. */
  format(value: number): string;
}

export interface AxisOptions {
  readonly label: string;
  readonly format: (value: number) => string;
  /** Of the data, before the axis is rounded outwards. */
  readonly range: readonly [number, number];
  /** In the drawing's units: where `from` and `to` lie. */
  readonly span: readonly [number, number];
  /** Keep `range` as it is. */
  readonly exact?: boolean;
  /** Default: at round numbers. Those outside the axis are left out. */
  readonly ticks?: readonly number[];
}

/** An axis with ticks at round numbers. */
export function makeAxis({ label, format, range, span, exact = false, ticks: given }: AxisOptions): Axis {
  const step = roundStep((range[1] - range[0] || 1) / 5);
  const from = exact ? range[0] : Math.floor(range[0] / step) * step;
  const to = exact ? range[1] : Math.max(Math.ceil(range[1] / step) * step, from + step);
  const ticks: number[] = (given ?? []).filter((tick) => tick >= from && tick <= to);
  for (let k = Math.ceil(from / step - 1e-9); !given && k <= to / step + 1e-9; k++) ticks.push(k * step);
  const at = (value: number) => span[0] + ((value - from) / (to - from)) * (span[1] - span[0]);
  return { from, to, ticks, label, at, format };
}

function roundStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough - 1e-12)!;
}

export const width = 480;
export const height = 320;
export const margin = { left: 58, right: 12, top: 36, bottom: 42 } as const;

export const spanX: readonly [number, number] = [margin.left, width - margin.right];
export const spanY: readonly [number, number] = [height - margin.bottom, margin.top];

export type Point = readonly [number, number];

/** Drawing commands through points in the drawing's units. */
export function pathThrough(points: readonly Point[]): string {
  return points.map(([x, y], i) => `${i === 0 ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`).join('');
}

/** A whole drawing: grid, axes, and what is inside. Colours come from CSS variables, with fallbacks for files. */
export function drawing(title: string, x: Axis, y: Axis, inside: readonly string[]): string {
  const grid = [
    ...x.ticks.map((tick) => line(x.at(tick), spanY[0], x.at(tick), spanY[1])),
    ...y.ticks.map((tick) => line(spanX[0], y.at(tick), spanX[1], y.at(tick))),
  ];
  const labels = [
    ...x.ticks.map((tick) => text(x.at(tick), spanY[0] + 16, 'middle', x.format(tick))),
    ...y.ticks.map((tick) => text(spanX[0] - 6, y.at(tick) + 4, 'end', y.format(tick))),
    text((spanX[0] + spanX[1]) / 2, height - 6, 'middle', x.label),
    `<text transform="translate(17 ${(spanY[0] + spanY[1]) / 2}) rotate(-90)" text-anchor="middle">${escapeText(y.label)}</text>`,
  ];
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" font-family="system-ui, sans-serif" font-size="12">` +
    `<title>${escapeText(title)}</title>` +
    `<g stroke="var(--grid, #ddd)">${grid.join('')}</g>` +
    `<g fill="var(--text, #222)">${labels.join('')}</g>${inside.join('')}</svg>`
  );
}

export function text(x: number, y: number, anchor: 'start' | 'middle' | 'end', content: string): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escapeText(content)}</text>`;
}

/** For text over lines: the background shows around it. */
export const halo =
  'stroke="var(--back, #fff)" stroke-width="3" stroke-linejoin="round" paint-order="stroke"';

function line(x1: number, y1: number, x2: number, y2: number): string {
  return `<path d="${pathThrough([
    [x1, y1],
    [x2, y2],
  ])}"/>`;
}

/** A drawing as a file of its own: the colours of the light page, on white, with a legend of its colours below. */
export function standalone(svg: string, legend: readonly string[] = []): string {
  const [frame, width, height] = /viewBox="0 0 ([\d.]+) ([\d.]+)"/.exec(svg)!;
  const entries = placeLegend(legend, Number(width));
  const below = Number(height) + (entries.length > 0 ? entries.at(-1)!.y + 22 : 0);
  const drawn = entries.map(({ x, y, name }, i) => {
    const middle = Number(height) + y + 10;
    return `<circle cx="${x + 5}" cy="${middle}" r="5" fill="${colour(i)}"/>${text(x + 15, middle + 4, 'start', name)}`;
  });
  return svg
    .replaceAll(/var\(--[\w-]+, ([^)]+)\)/g, '$1')
    .replace(frame, `viewBox="0 0 ${width} ${below}"`)
    .replace('</title>', () => `</title><rect width="${width}" height="${below}" fill="#fff"/>`)
    .replace(/<\/svg>$/, () => `<g fill="#222">${drawn.join('')}</g></svg>`);
}

/** Names from left to right, in as many rows as they need. */
function placeLegend(names: readonly string[], width: number) {
  let [x, y] = [margin.left, 0];
  return names.map((name) => {
    const length = 15 + 7 * name.length;
    if (x > margin.left && x + length > width - margin.right) [x, y] = [margin.left, y + 18];
    const place = { x, y, name };
    x += length + 14;
    return place;
  });
}

/** Colours that differ in lightness too, for sets in order (Okabe and Ito, 2008). */
export const palette = [
  '#0072b2',
  '#d55e00',
  '#009e73',
  '#cc79a7',
  '#e69f00',
  '#56b4e9',
  '#7a6a00',
  '#888888',
];

export const colour = (i: number): string => palette[i % palette.length]!;
