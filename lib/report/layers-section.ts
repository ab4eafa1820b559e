import { percent } from '../selection/figures.js';
import { explainLayers } from '../selection/layer-comparison.js';
import type { LayerObjective, LayerOutcome } from '../sweep/layer-sweep.js';
import { grid, paragraph, points, section, short, wideFigure } from './parts.js';
import { escapeText, text } from './svg.js';

/** In the drawing's units. */
const [row, left, span, right] = [20, 220, 220, 48];

/** A bar for the alpha of each group, by depth from above; a line where the best single alpha is. */
export function plotLayers({ groups, single }: LayerOutcome): string {
  const alphas = [0, 1, single, ...groups.map(({ alpha }) => alpha)];
  const [least, most] = [Math.min(...alphas), Math.max(...alphas)];
  const at = (alpha: number) => left + ((alpha - least) / (most - least)) * span;
  const height = row * groups.length + 28;
  const bars = groups.map(({ name, alpha }, g) => {
    const [from, to] = [Math.min(at(0), at(alpha)), Math.max(at(0), at(alpha))];
    const y = g * row + 4;
    return (
      `<g fill="var(--text, #222)">${text(left - 8, y + 12, 'end', name.length > 30 ? `…${name.slice(-29)}` : name)}` +
      `${text(left + span + 8, y + 12, 'start', short(alpha))}</g>` +
      `<rect x="${from.toFixed(1)}" y="${y}" width="${Math.max(1, to - from).toFixed(1)}" height="${row - 6}" fill="#0072b2"/>`
    );
  });
  const line = at(single).toFixed(1);
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${left + span + right} ${height}" width="${left + span + right}" role="img" font-family="system-ui, sans-serif" font-size="12">` +
    `<title>${escapeText('alpha by layer')}</title>${bars.join('')}` +
    `<path d="M${line} 0V${row * groups.length}" stroke="#d55e00" stroke-dasharray="4 3"/>` +
    `<g fill="var(--text, #222)">${text(at(single), height - 10, 'middle', `single ${short(single)}`)}</g></svg>`
  );
}

function describeObjective({ single, layered, name, singleEligible, inPoints }: LayerObjective): string {
  const figures = `the ${name} is ${percent(layered)} by layer and ${percent(single)} with the single alpha`;
  if (!inPoints) return `the knee is the model farthest from the chord of the frontier: ${figures}.`;
  if (!singleEligible)
    return `the single alpha is not eligible any more, its ID accuracy being too far below the best: ${figures}.`;
  return `the ${name} rose by ${points(layered - single)} points, which is the best of many and flatters.`;
}

/** Alphas by layer, and whether they are worth it. */
export function layersSection(outcome: LayerOutcome, plot: string): string {
  const { kind, sets, comparison, points: tried, objective } = outcome;
  const rows = sets.map(({ name, role, samples, single, layered, difference, interval }) => [
    `${name} (${role})`,
    String(samples),
    percent(layered),
    percent(single),
    points(difference),
    interval ? `[${points(interval.lower)}, ${points(interval.upper)}]` : '–',
  ]);
  const how =
    kind === 'linear' ? 'with alphas on a straight line over the depth' : 'coordinate by coordinate';
  return section(
    'Alpha by layer',
    paragraph(
      `${tried.length} models around the best single alpha, ${how}. On the sets that they were chosen on, ${describeObjective(objective)}`,
    ),
    ...(comparison
      ? [paragraph(explainLayers(comparison), comparison.withinNoise ? 'warning' : undefined)]
      : []),
    wideFigure(plot),
    grid(['set', 'samples', 'by layer', 'single alpha', 'difference', '95 % interval'], rows),
  );
}
