import type { Divergence } from '../sweep/divergence.js';
import { escapeText, text } from './svg.js';

const cell = { width: 50, height: 20 } as const;
/** Width of a character of the drawing's font, and a little more. */
const characterWidth = 6.8;
const legendHeight = 34;

type Figures = Pick<Divergence['total'], 'parameters' | 'relativeL2' | 'cosine'>;

/** A distance as cells and tables write it. */
export function formatDistance(relativeL2: number | null): string {
  if (relativeL2 === null) return '–';
  if (relativeL2 === 0) return '0';
  return relativeL2 < 0.001 || relativeL2 >= 1000 ? relativeL2.toExponential(1) : relativeL2.toPrecision(2);
}

/**
 * Relative L2 distance of two checkpoints: a row per layer and a column per module, and below them the tensors
 * outside layers, one per row. Every cell names its figures in a title.
 */
export function plotDivergence({ rows, modules, cells, others }: Divergence): string {
  const distances = [...cells, ...others].flatMap(({ relativeL2 }) =>
    relativeL2 === null ? [] : relativeL2,
  );
  const shade = shades(distances);
  const stacks = new Set(rows.map(({ stack }) => stack));
  const labels = rows.map(({ stack, layer }) => (stacks.size > 1 ? `${stack} ${layer}` : String(layer)));
  const left = 14 + characterWidth * Math.max(2, ...labels.map((label) => label.length));
  const longest = Math.max(0, ...modules.map((name) => name.length));
  // Names of modules rise at 45 degrees.
  const slant = longest * characterWidth * Math.SQRT1_2;
  const top = legendHeight + (modules.length > 0 ? slant + 14 : 0);
  const otherTop = top + rows.length * cell.height + (rows.length > 0 && others.length > 0 ? 12 : 0);
  const otherWidth = Math.max(0, ...others.map(({ name }) => name.length * characterWidth + cell.width + 10));
  // A name begins over the middle of its column.
  const namesEnd = (modules.length - 0.5) * cell.width + slant;
  const width = Math.ceil(left + Math.max(modules.length * cell.width, namesEnd, otherWidth, 260) + 8);
  const height = Math.ceil(otherTop + others.length * cell.height + 6);
  const square = (x: number, y: number, name: string, figures: Figures): string => {
    const { parameters, relativeL2, cosine } = figures;
    const tip = `${name}: distance ${relativeL2 === null ? 'from zero' : relativeL2.toPrecision(4)}, cosine ${cosine === null ? 'undefined' : cosine.toFixed(6)}, ${parameters} parameters`;
    const place = `x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${cell.width - 2}" height="${cell.height - 2}"`;
    return (
      `<g><title>${escapeText(tip)}</title>` +
      `<rect ${place} rx="2" fill="#0072b2" fill-opacity="${shade(relativeL2).toFixed(3)}" stroke="var(--grid, #ddd)" stroke-width="0.5"/>` +
      `<g fill="var(--text, #222)" font-size="11">${text(x + cell.width / 2 - 1, y + 13, 'middle', formatDistance(relativeL2))}</g></g>`
    );
  };
  const nameOf = ({ row, module }: Divergence['cells'][number]) =>
    `${rows[row]!.stack} ${rows[row]!.layer} ${modules[module]!}`;
  const inside = cells.map((one) =>
    square(left + one.module * cell.width, top + one.row * cell.height, nameOf(one), one),
  );
  const outside = others.map((one, i) => square(left, otherTop + i * cell.height, one.name, one));
  const names = [
    ...labels.map((label, i) => text(left - 6, top + i * cell.height + 13, 'end', label)),
    ...modules.map((name, i) => {
      const [x, y] = [left + (i + 0.5) * cell.width - 4, top - 6];
      return `<text transform="translate(${x.toFixed(1)} ${y.toFixed(1)}) rotate(-45)">${escapeText(name)}</text>`;
    }),
    ...others.map(({ name }, i) =>
      text(left + cell.width + 6, otherTop + i * cell.height + 13, 'start', name),
    ),
  ];
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" font-family="system-ui, sans-serif" font-size="12">` +
    `<title>Distance of the two checkpoints by layer and module</title>` +
    `<g fill="var(--text, #222)">${legend(distances, shade)}${names.join('')}</g>` +
    `${inside.join('')}${outside.join('')}</svg>`
  );
}

// Text stays readable on the darkest shade, in light and in dark.
const [palest, darkest] = [0.06, 0.6];

/** Opacity of a distance: linear from 0, or logarithmic where distances differ by more than 20 times. */
function shades(distances: readonly number[]): (distance: number | null) => number {
  const most = Math.max(0, ...distances);
  const least = Math.min(most, ...distances.filter((distance) => distance > 0));
  const share = isLogarithmic(least, most)
    ? (distance: number) => Math.log(distance / least) / Math.log(most / least)
    : (distance: number) => distance / most;
  return (distance) => (distance ? palest + (darkest - palest) * share(distance) : 0);
}

const isLogarithmic = (least: number, most: number) => least > 0 && most > 20 * least;

function legend(distances: readonly number[], shade: (distance: number) => number): string {
  const most = Math.max(0, ...distances);
  const least = Math.min(most, ...distances.filter((distance) => distance > 0));
  const logarithmic = isLogarithmic(least, most);
  const at = (share: number) => (logarithmic ? least * (most / least) ** share : most * share);
  const steps = [0, 0.25, 0.5, 0.75, 1].map((share) => at(share));
  const marks = most === 0 ? [0] : logarithmic ? steps : steps.slice(1);
  const squares = marks.map((value, i) => {
    const x = 4 + i * cell.width;
    return (
      `<rect x="${x}" y="16" width="${cell.width - 2}" height="14" fill="#0072b2" fill-opacity="${shade(value).toFixed(3)}" stroke="var(--grid, #ddd)" stroke-width="0.5"/>` +
      `<g font-size="11">${text(x + cell.width / 2 - 1, 27, 'middle', formatDistance(value))}</g>`
    );
  });
  return text(4, 11, 'start', '‖θ₁ − θ₀‖ / ‖θ₀‖') + squares.join('');
}
