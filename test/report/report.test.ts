import { spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { renderAsync } from '@resvg/resvg-js';
import { expect, test } from 'vitest';
import { thin } from '../../lib/report/curves-plot.js';
import { plotFrontier } from '../../lib/report/frontier-plot.js';
import { renderReport, writeReport } from '../../lib/report/report.js';
import { makeAxis, standalone } from '../../lib/report/svg.js';
import { accuracyPath } from '../../lib/selection/exact-path.js';
import { sweep } from '../../lib/sweep/sweep.js';
import { readOutcomes } from '../../lib/sweep/sweep-directory.js';
import type { SweepConfig } from '../../lib/sweep/sweep-options.js';
import { Chromium } from '../support/chromium.js';
import { runCli } from '../support/cli.js';
import { sweepProject } from '../support/sweep-project.js';
import { tempDir } from '../support/temp.js';

/** Four models near a line on `far`, and off any line on `kept`. */
const references = [0.3, 0.45, 0.6, 0.75].map((id, i) => ({
  name: `reference ${i}`,
  scores: { id, far: id - 0.1 + 0.01 * (i % 2), kept: [0.5, 0.4, 0.55, 0.45][i]! },
}));

async function swept(more: Partial<SweepConfig> = {}) {
  const { directory, options } = await sweepProject();
  const out = join(directory, 'out');
  const result = await sweep({ ...options, ...more, out });
  return { out, result };
}

/** Cells of the rows of the table under a heading. */
function rowsUnder(html: string, heading: string): string[][] {
  const table = html.slice(html.indexOf(`<h2>${heading}</h2>`)).match(/<tbody>(.*?)<\/tbody>/s)![1]!;
  return [...table.matchAll(/<tr[^>]*>(.*?)<\/tr>/gs)].map((row) =>
    [...row[1]!.matchAll(/<td>(.*?)<\/td>/gs)].map((cell) => cell[1]!),
  );
}

test('every figure of the tables is that of sweep.json', async () => {
  const { out, result } = await swept();
  await writeReport(out);
  const html = await readFile(join(out, 'report.html'), 'utf8');
  const json = JSON.parse(await readFile(join(out, 'sweep.json'), 'utf8'));
  const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
  const rows = rowsUnder(html, 'At each alpha');
  expect(rows).toHaveLength(json.alphas.length);
  for (const [k, alpha] of (json.alphas as number[]).entries()) {
    const expected = json.sets.flatMap(({ metrics }: { metrics: Record<string, number>[] }) => [
      percent(metrics[k]!.top1!),
      metrics[k]!.nll!.toFixed(4),
      metrics[k]!.ece!.toFixed(4),
    ]);
    expect(rows[k]).toEqual([String(Number(alpha.toFixed(4))), ...expected]);
  }
  expect(html.match(/<tr class="chosen"><td>(.*?)<\/td>/)![1]).toBe(String(json.analysis.selection.alpha));
  const ends = rowsUnder(html, 'Against both ends');
  for (const [s, row] of ends.entries()) {
    const metrics = json.sets[s].metrics[json.analysis.selection.index];
    expect(row[0]).toContain(json.sets[s].name);
    expect(row[2]).toBe(percent(metrics.top1));
    expect(row[8]).toBe(String(json.analysis.sets[s].samples.flips.bothWrongToRight));
    // Alpha was chosen on the select sets: a p there would not be one.
    const { mcnemar, afterSelection } = json.analysis.sets[s].samples;
    expect(afterSelection).toBe(json.sets[s].role === 'select');
    const p = (test: { pValue: number }) => (afterSelection ? '–' : test.pValue.toPrecision(2));
    expect([row[4], row[6]]).toEqual([p(mcnemar.zeroshot), p(mcnemar.finetuned)]);
  }
  const flips = rowsUnder(html, 'Flips');
  const confidence = rowsUnder(html, 'Confidence');
  const ensembles = rowsUnder(html, 'Weights or outputs averaged');
  for (const [s, set] of json.sets.entries()) {
    const table: number[] = json.analysis.sets[s].samples.flips.table;
    expect(flips.slice(4 * s, 4 * s + 4).flatMap((row) => [Number(row[5]), Number(row[4])])).toEqual(table);
    expect(table.reduce((sum, count) => sum + count)).toBe(set.samples);
    const { zeroshot, merged, finetuned, probabilityEnsemble } = json.outputs[s];
    for (const [i, model] of [zeroshot, merged, finetuned].entries()) {
      const margin = (value: number | null) => value?.toFixed(3) ?? '–';
      const row = confidence[3 * s + i]!;
      expect(row.slice(2, 4)).toEqual([percent(model.confidence), percent(model.top1)]);
      expect(row.slice(5)).toEqual([margin(model.marginRight), margin(model.marginWrong)]);
    }
    const [, weights, , probabilities, , otherwise, nll] = ensembles[s]!;
    expect(weights).toBe(percent(set.metrics[json.analysis.selection.index].top1));
    expect(probabilities).toBe(percent(probabilityEnsemble.top1));
    expect(otherwise).toBe(percent(probabilityEnsemble.disagreement));
    expect(nll).toBe(probabilityEnsemble.nll.toFixed(4));
  }
  const held = rowsUnder(html, 'Does it hold?');
  expect(held[0]![2]).toBe(percent(result.analysis.firmness!.crossValidation!.chosen.mean));
});

test('of a sweep without metrics, what follows from the curves', async () => {
  const { out } = await swept({ metrics: false, references });
  await writeReport(out);
  const html = await readFile(join(out, 'report.html'), 'utf8');
  const json = JSON.parse(await readFile(join(out, 'sweep.json'), 'utf8'));
  const cells = rowsUnder(html, 'At each alpha').map((row) => row.slice(1, 4));
  const accuracy = ({ top1 }: { top1: number }) => [`${(100 * top1).toFixed(2)} %`, '', ''];
  expect(cells).toEqual(json.sets[0].metrics.map(accuracy));
  expect(rowsUnder(html, 'Flips')).toHaveLength(4 * json.sets.length);
  for (const absent of ['<h2>Confidence', '<h2>Weights or outputs', 'log-likelihood', 'undefined', 'NaN']) {
    expect(html).not.toContain(absent);
  }
  expect(html).toContain('--no-metrics');
});

test('the heat map and its table have the distances of sweep.json', async () => {
  const { out, result } = await swept();
  const { html } = renderReport(result, await readOutcomes(out, result.sets));
  const { divergence } = JSON.parse(await readFile(join(out, 'sweep.json'), 'utf8'));
  const figures = ({ parameters, relativeL2, cosine }: Record<string, number>) => [
    String(parameters),
    relativeL2!.toPrecision(2),
    cosine!.toFixed(6),
  ];
  expect(rowsUnder(html, 'Where the models differ')).toEqual([
    ['all', ...figures(divergence.total)],
    ['head.weight', ...figures(divergence.others[0])],
  ]);
  const { relativeL2, cosine } = divergence.others[0];
  expect(html).toContain(`distance ${relativeL2.toPrecision(4)}, cosine ${cosine.toFixed(6)}`);
});

test('the command on the page makes the same sweep', async () => {
  const table = join(await tempDir(), 'models.csv');
  const rows = references.map(({ name, scores: { id, far, kept } }) => [name, id, far, kept].join(','));
  await writeFile(table, ['name,id,far,kept', ...rows].join('\n'));
  const { out, result } = await swept({
    references: table,
    rule: 'max-shift:id-within=0.05',
    divergence: false,
  });
  const { html } = renderReport(result, await readOutcomes(out, result.sets));
  const [, escaped] = html.match(/<pre>(.*?)<\/pre>/s)!;
  const command = escaped!.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code)));
  // As a shell takes it apart.
  const shell = spawnSync('sh', ['-c', `wisemerge() { printf '%s\\n' "$@"; }\n${command}`], {
    encoding: 'utf8',
  });
  const args = shell.stdout.trimEnd().split('\n');
  const again = join(out, '..', 'again');
  const ran = await runCli([...args.slice(0, -1), again]);
  expect(ran.stderr).toContain(again);
  const without = (text: string) => text.replace(/"seconds": [^,\n]+/, '');
  const [first, second] = await Promise.all(
    [out, again].map(async (place) => without(await readFile(join(place, 'sweep.json'), 'utf8'))),
  );
  expect(second).toBe(first);
});

test('with reference models the page has their table and the frontier their line', async () => {
  const { out, result } = await swept({ references });
  const { html, plots } = renderReport(result, await readOutcomes(out, result.sets));
  const json = JSON.parse(await readFile(join(out, 'sweep.json'), 'utf8'));
  const points = (share: number) => `${share < 0 ? '−' : '+'}${Math.abs(100 * share).toFixed(2)}`;
  const rows = rowsUnder(html, 'Effective robustness');
  expect(rows.map(([name]) => name)).toEqual(['far', 'kept', 'mean of the shifts']);
  const { line, chosen, models } = json.robustness[0];
  expect(rows[0]![1]).toBe('4');
  expect(rows[0]![2]).toBe(line.rSquared.toFixed(3));
  expect(rows[0]![7]!.replace(' *', '')).toBe(points(chosen.rho));
  expect(rows[0]![7]!.includes('*')).toBe(chosen.extrapolated);
  expect(rows[1]!.slice(5)).toEqual(['–', '–', '–']);
  expect(html).toContain(`kept: no line, ${json.robustness[1].line.reason}`);
  const frontier = plots.get('frontier.svg')!;
  for (const { name } of models) expect(frontier).toContain(`<title>${name}: `);
  expect(frontier.includes('<title>baseline fit</title>')).toBe(json.robustness[2].line.fitted);
  expect(html).not.toContain('left out');
  const sets = json.config.sets.map((set: { name: string }) =>
    set.name === 'kept' ? { ...set, kind: 'id' } : set,
  );
  const partial = references.map(({ name, scores: { id, far } }) => ({ name, scores: { id, far } }));
  const some = await swept({ references: partial, sets });
  const page = renderReport(some.result, await readOutcomes(some.out, some.result.sets)).html;
  expect(page).toContain(
    'far: ID accuracy is that of id; kept is left out, for which reference models have no score.',
  );
  const without = await swept();
  const plain = renderReport(without.result, await readOutcomes(without.out, without.result.sets));
  expect(plain.html).not.toContain('Effective robustness');
});

test('drawings are files that look the same alone: no variables of the page, a background', async () => {
  const { out, result } = await swept();
  const { plots } = renderReport(result, await readOutcomes(out, result.sets));
  // Which colour is which set is told beside the drawing on the page, and inside it in a file.
  for (const { name } of result.sets)
    expect(plots.get('accuracy.svg')).toMatch(new RegExp(`<text[^>]*>${name}<`));
  for (const svg of plots.values()) {
    expect(svg).not.toContain('var(');
    expect(svg).toMatch(/<\/title><rect width="\d+" height="\d+" fill="#fff"\/>/);
  }
});

test('every drawing is there as SVG and as PNG, twice its size and not empty', async () => {
  const { out, result } = await swept();
  const { plots } = renderReport(result, await readOutcomes(out, result.sets));
  expect((await writeReport(out)).png).toMatch(/^(written|without-text)$/);
  for (const [name, svg] of plots) {
    expect(await readFile(join(out, 'plots', name), 'utf8')).toBe(svg);
    const png = await readFile(join(out, 'plots', name.replace('.svg', '.png')));
    expect(png.subarray(1, 4).toString()).toBe('PNG');
    const size = svg
      .match(/viewBox="0 0 (\d+) (\d+)"/)!
      .slice(1)
      .map((length) => 2 * Number(length));
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual(size);
    const { pixels } = await renderAsync(png2svg(png, size[0]!, size[1]!));
    const colours = new Set<number>();
    for (let i = 0; i < pixels.length; i += 4) colours.add(pixels.readUInt32BE(i) >>> 8);
    expect(colours.has(0xffffff)).toBe(true);
    expect(colours.size).toBeGreaterThan(20);
  }
});

/** A drawing of an image, to have it decoded. */
function png2svg(png: Buffer, width: number, height: number): string {
  const href = `data:image/png;base64,${png.toString('base64')}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"><image href="${href}" width="${width}" height="${height}"/></svg>`;
}

test('names on the frontier do not overlap, however close their points lie', () => {
  for (const [near, where] of [
    [0, 0.5],
    [0.001, 0.98],
    [0.001, 0.02],
  ] as const) {
    const points = [0, 0.5, 1].map((alpha) => ({
      alpha,
      id: where + near * alpha,
      shift: where - near * alpha,
    }));
    const svg = plotFrontier(points, 0.5);
    const boxes = ['zero-shot', 'fine-tuned', 'chosen, α = 0.5'].map((name) => {
      const found = svg.match(new RegExp(`<text x="([\\d.]+)" y="([\\d.]+)" text-anchor="(\\w+)">${name}<`))!;
      const [x, y, length] = [Number(found[1]), Number(found[2]), 6.5 * name.length];
      const left = found[3] === 'end' ? x - length : x;
      return { left, right: left + length, top: y - 9, bottom: y + 2 };
    });
    for (const [i, one] of boxes.entries()) {
      expect(one.left).toBeGreaterThan(0);
      expect(one.right).toBeLessThan(480);
      for (const other of boxes.slice(i + 1)) {
        const across = one.left < other.right && other.left < one.right;
        expect(across && one.top < other.bottom && other.top < one.bottom).toBe(false);
      }
    }
  }
});

test('a legend takes the rows that it needs, and no name leaves the drawing', () => {
  const names = Array.from({ length: 7 }, (_, i) => `distribution-shift-${i}`);
  const svg = standalone('<svg viewBox="0 0 480 320"><title>t</title></svg>', names);
  const height = Number(svg.match(/viewBox="0 0 480 (\d+)"/)![1]);
  const places = [...svg.matchAll(/<text x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]+)</g)];
  expect(places.map((place) => place[3])).toEqual(names);
  for (const [, x, y, name] of places) {
    expect(Number(x) + 7 * name!.length).toBeLessThanOrEqual(480);
    expect(Number(y)).toBeGreaterThan(320);
    expect(Number(y)).toBeLessThan(height);
  }
});

test('the frontier keeps every model and both lines inside its axes', () => {
  const points = [0, 0.5, 1].map((alpha) => ({ alpha, id: 0.6 + 0.2 * alpha, shift: 0.6 - 0.1 * alpha }));
  const models = [0.5, 0.9].map((id) => ({ name: `m${id}`, id, shift: id - 0.1 }));
  const svg = plotFrontier(points, 0.5, { models, line: { slope: 1, intercept: -0.5 } });
  for (const name of ['m0.5', 'm0.9', 'baseline fit', 'shift = ID', 'zero-shot', 'fine-tuned'])
    expect(svg).toContain(name);
  const xs = [...svg.matchAll(/[ML]([\d.]+) ([\d.]+)/g)].map(([, x, y]) => [Number(x), Number(y)]);
  for (const [x, y] of xs) {
    expect(x).toBeGreaterThanOrEqual(0);
    expect(x).toBeLessThanOrEqual(480);
    expect(y).toBeGreaterThanOrEqual(0);
    expect(y).toBeLessThanOrEqual(320);
  }
  // A line outside the axes is left out.
  expect(plotFrontier(points, 0.5, { models, line: { slope: 0, intercept: 9 } })).not.toContain('baseline');
});

test('the page has no script and asks for nothing', async () => {
  const { out, result } = await swept();
  const { html, plots } = renderReport(result, await readOutcomes(out, result.sets));
  expect(html).not.toMatch(/<script|javascript:|@import|url\(/i);
  expect(html.replaceAll('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:/);
  expect([...plots.keys()]).toEqual(['accuracy.svg', 'frontier.svg', 'divergence.svg']);
  for (const svg of plots.values()) expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  expect(html).not.toMatch(/NaN|undefined|Infinity/);
});

test('names are text, not markup', async () => {
  const { directory, options } = await sweepProject();
  const out = join(directory, 'out');
  const sets = options.sets.map((set) => ({ ...set, name: `<b>${set.name}&`.replace('/', '') }));
  const result = await sweep({ ...options, sets, out });
  const { html } = renderReport(result, await readOutcomes(out, result.sets));
  expect(html).not.toContain('<b>');
  expect(html).toContain('&#60;b&#62;id&#38;');
});

test('a thinned curve keeps the lowest and highest value of every part', () => {
  const intervals = {
    domain: [0, 1] as const,
    lo: Float64Array.from({ length: 500 }, (_, i) => (i % 97) / 97),
    hi: Float64Array.from({ length: 500 }, (_, i) => (i % 97) / 97 + 0.3),
    open: new Uint8Array(500),
  };
  const path = accuracyPath(intervals);
  const points = thin(path, 0, 1, 20);
  expect(points.length).toBeLessThanOrEqual(41);
  const values = points.map(([, value]) => value);
  expect(Math.max(...values)).toBe(Math.max(...path.after));
  expect(Math.min(...values)).toBe(Math.min(...path.after));
});

test('axes have round ticks inside their range', () => {
  const axis = makeAxis({ label: '', format: String, range: [0.113, 0.874], span: [0, 100] });
  expect(axis.from).toBeCloseTo(0, 12);
  expect(axis.to).toBeCloseTo(1, 12);
  expect(axis.ticks.map((tick) => Number(tick.toFixed(6)))).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
  expect([axis.at(axis.from), axis.at(axis.to)]).toEqual([0, 100]);
  expect(makeAxis({ label: '', format: String, range: [0.5, 0.5], span: [0, 1] }).at(0.5)).toSatisfy(
    Number.isFinite,
  );
});

test.skipIf(!Chromium.path)(
  'opens in Chromium: no error, no request, nothing wider than the page',
  async () => {
    const { out } = await swept({ references });
    await writeReport(out);
    await using browser = await Chromium.start();
    for (const [width, scheme] of [
      [360, 'light'],
      [360, 'dark'],
      [1440, 'light'],
      [1440, 'dark'],
    ] as const) {
      const page = await browser.open(join(out, 'report.html'), width, scheme);
      expect(page.problems).toEqual([]);
      expect(page.requests).toEqual([expect.stringMatching(/report\.html$/)]);
      expect(await page.evaluate('document.title')).toMatch(/alpha/);
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
      const back = await page.evaluate('getComputedStyle(document.body).backgroundColor');
      expect(back).toBe(scheme === 'light' ? 'rgb(255, 255, 255)' : 'rgb(22, 24, 28)');
      // Every text of a drawing lies inside it, and no two of them cover each other.
      expect(await page.evaluate(textsOutside)).toEqual([]);
      expect(await page.evaluate(textsOverlapping)).toEqual([]);
    }
  },
);

const textsOutside = `[...document.querySelectorAll('svg')].flatMap((svg) => {
  const frame = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter((text) => {
    const box = text.getBoundingClientRect();
    return box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
  }).map((text) => text.textContent);
})`;

// Turned texts have boxes that cover one another's corners.
const textsOverlapping = `[...document.querySelectorAll('svg')].flatMap((svg) => {
  const texts = [...svg.querySelectorAll('text:not([transform])')].map((text) => {
    const { left, right, top, bottom } = text.getBoundingClientRect();
    return { text: text.textContent, left, right, top: top + (bottom - top) / 4, bottom: bottom - (bottom - top) / 4 };
  });
  return texts.flatMap((a, i) => texts.slice(i + 1)
    .filter((b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
    .map((b) => a.text + ' / ' + b.text));
})`;
