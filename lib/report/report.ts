import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ioError } from '../errors.js';
import { makeDirectory } from '../files/make-directory.js';
import { startPulse } from '../files/pool-pulse.js';
import type { AnalysedSet } from '../selection/analysis.js';
import { accuracyPath } from '../selection/exact-path.js';
import { readResult, type SweepResult } from '../sweep/result.js';
import { type PlotName, plotsName, readOutcomes, reportName } from '../sweep/sweep-directory.js';
import { plotCurves } from './curves-plot.js';
import { type FrontierPoint, type PlottedReferences, plotFrontier } from './frontier-plot.js';
import { plotDivergence } from './heat-map.js';
import { plotLayers } from './layers-section.js';
import { type PngState, renderPngs } from './png.js';
import { sections } from './sections.js';
import { style } from './style.js';
import { colour, escapeText, standalone } from './svg.js';

export interface Report {
  readonly html: string;
  /** By file name: the drawings of the page, as files of their own. */
  readonly plots: ReadonlyMap<string, string>;
}

/** A page that opens anywhere: one file, no script, nothing to fetch. */
export function renderReport(result: SweepResult, outcomes: readonly AnalysedSet[]): Report {
  const { alphas, sets, analysis } = result;
  const chosen = analysis.selection.alpha;
  const curves = plotCurves(
    alphas,
    sets.map(({ name, metrics }, s) => {
      const outcome = outcomes[s]!;
      const band = analysis.sets[s]!.samples?.band;
      const intervals = 'scores' in outcome ? undefined : outcome.intervals;
      return {
        name,
        accuracy: metrics.map(({ top1 }) => top1),
        ...(band && { band }),
        ...(intervals && { exact: accuracyPath(intervals) }),
      };
    }),
    chosen,
  );
  const names = sets.map(({ name }) => name);
  const plots = new Map<PlotName, string>([['accuracy.svg', curves]]);
  const path = frontier(result);
  if (path) plots.set('frontier.svg', plotFrontier(path, chosen, referencesOf(result)));
  const figures = [...plots].map(([name, svg]) => captioned(svg, captions(result)[name]!)).join('');
  if (result.divergence) plots.set('divergence.svg', plotDivergence(result.divergence));
  if (result.layers) plots.set('layers.svg', plotLayers(result.layers));
  const legend = sets
    .map(
      ({ name, kind, role }, s) =>
        `<li><i style="background:${colour(s)}"></i>${escapeText(name)} <small>${kind}, ${role}</small></li>`,
    )
    .join('');
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>wisemerge sweep: alpha ${Number(chosen.toFixed(4))}</title>
<style>${style}</style>
</head>
<body>
<h1>alpha ${Number(chosen.toFixed(4))}</h1>
<ul class="legend">${legend}</ul>
<div class="plots">${figures}</div>
${sections(result, plots).join('\n')}
</body>
</html>
`;
  return {
    html,
    plots: new Map([...plots].map(([name, svg]) => [name, standalone(svg, svg === curves ? names : [])])),
  };
}

/**
 * Writes `report.html` and `plots/`, as SVG and PNG, from a finished sweep. Throws ERR_SWEEP_RESULT, ERR_IO,
 * ERR_NO_SPACE.
 */
export async function writeReport(directory: string): Promise<{ readonly png: PngState }> {
  using _pulse = startPulse();
  const result = await readResult(directory);
  const { html, plots } = renderReport(result, await readOutcomes(directory, result.sets));
  const write = async (name: string, content: string | Uint8Array) => {
    const path = join(directory, name);
    await writeFile(path, content).catch((error) => {
      throw ioError(error, 'write', path);
    });
  };
  await makeDirectory(join(directory, plotsName));
  for (const [name, svg] of plots) await write(join(plotsName, name), svg);
  const { images, state } = await renderPngs(plots);
  for (const [name, image] of images) await write(join(plotsName, name), image);
  await write(reportName, html);
  return { png: state };
}

/** Those of the mean shift, which the frontier is drawn over. */
function referencesOf({ robustness }: SweepResult): PlottedReferences | undefined {
  const mean = robustness?.at(-1);
  return mean && { models: mean.models, ...(mean.line.fitted && { line: mean.line }) };
}

function captions({ robustness }: SweepResult): Record<string, string> {
  const leftOut = robustness?.at(-1)?.leftOut ?? [];
  const without = leftOut.length > 0 ? ` ID accuracy is without ${leftOut.join(', ')}.` : '';
  const references = robustness
    ? ` Diamonds are reference models, the line through them is the baseline of effective robustness.${without}`
    : '';
  return {
    'accuracy.svg':
      'Steps: accuracy at every alpha. Dots: the evaluated ones, in simultaneous 95 % bands. Dotted: the chord between the ends.',
    'frontier.svg': `The path of alpha; blue is its Pareto frontier. Dotted: equal accuracy on shift and ID.${references}`,
  };
}

function captioned(svg: string, caption: string): string {
  return `<figure>${svg}<figcaption>${escapeText(caption)}</figcaption></figure>`;
}

/** Undefined without an ID set and a shift. ID accuracy is over the sets that reference models in the same plot have. */
function frontier({ alphas, sets, robustness }: SweepResult): FrontierPoint[] | undefined {
  const leftOut = robustness?.at(-1)?.leftOut ?? [];
  const of = (kind: 'id' | 'shift') => sets.filter((set) => set.kind === kind && !leftOut.includes(set.name));
  const [id, shift] = [of('id'), of('shift')];
  if (id.length === 0 || shift.length === 0) return undefined;
  const mean = (some: typeof sets, k: number) =>
    some.reduce((sum, { metrics }) => sum + metrics[k]!.top1, 0) / some.length;
  return alphas.map((alpha, k) => ({ alpha, id: mean(id, k), shift: mean(shift, k) }));
}
