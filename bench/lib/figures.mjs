// A figure is one measured quantity: its median and spread, and what it is held against.
import { median, medianInterval } from './statistics.mjs';

/**
 * `target` is `{ atLeast }` or `{ atMost }`. The verdict is `pass` if the median meets it, `miss` if even the far
 * end of the interval does not, and `unclear` between the two: more repetitions or a quieter machine would tell.
 */
export function figure(name, unit, samples, target) {
  return judged({
    name,
    unit,
    median: median(samples),
    interval: medianInterval(samples),
    min: Math.min(...samples),
    max: Math.max(...samples),
    samples: samples.length,
    target,
  });
}

/** A figure whose median and interval were computed elsewhere. */
export function judged({ target, ...measured }) {
  if (!target) return measured;
  const { median: value, interval = [value, value] } = measured;
  const meets = (x) => (target.atLeast !== undefined ? x >= target.atLeast : x <= target.atMost);
  const verdict = meets(value) ? 'pass' : interval.some(meets) ? 'unclear' : 'miss';
  return { ...measured, target, verdict };
}

const header = ['figure', 'median', '95 % interval', 'min … max', 'n', 'target', ''];

/** The figures of all suites as a text table. */
export function formatTable(suites) {
  const rows = [header];
  for (const [suite, { figures = [], skipped }] of Object.entries(suites)) {
    rows.push([suite, ...(skipped ? [`skipped: ${skipped}`] : [])]);
    for (const one of figures) rows.push(row(one));
  }
  // A row of two cells is a heading and does not count for the widths.
  const widths = header.map((_, i) => Math.max(...rows.filter((r) => r.length > 2).map((r) => r[i].length)));
  return rows
    .map((cells) =>
      (cells.length > 2 ? cells.map((cell, i) => cell.padEnd(widths[i])) : cells).join('  ').trimEnd(),
    )
    .join('\n');
}

function row({ name, unit, median: value, interval, min, max, samples, target, verdict }) {
  const bound =
    target && (target.atLeast !== undefined ? `≥ ${number(target.atLeast)}` : `≤ ${number(target.atMost)}`);
  return [
    `  ${name}`,
    `${number(value)} ${unit}`.trim(),
    interval ? `${number(interval[0])} … ${number(interval[1])}` : '',
    samples > 1 ? `${number(min)} … ${number(max)}` : '',
    String(samples),
    bound ?? '',
    verdict ?? '',
  ];
}

function number(value) {
  return Number.isInteger(value) ? String(value) : value.toPrecision(Math.abs(value) >= 100 ? 4 : 3);
}
