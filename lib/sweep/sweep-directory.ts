import { join } from 'node:path';
import type { EvaluatedSet } from '../eval/evaluator.js';
import { makeDirectory } from '../files/make-directory.js';
import type { AnalysedSet, AnalysisOptions } from '../selection/analysis.js';
import { parseRule } from '../selection/rule.js';
import type { SetOutcome } from '../selection/set-outcome.js';
import { checkFolds } from '../statistics/folds.js';
import type { Journal } from './journal.js';
import { readOutcome, writeOutcome } from './outcome-file.js';
import { recordsName, resultName, type SweptSet } from './result.js';
import { type DirectoryOptions, openResultsDirectory, ownFiles, type Results } from './results-directory.js';
import type { ResolvedSweep } from './sweep-options.js';

const outcomesName = 'outcomes';
export const [reportName, plotsName] = ['report.html', 'plots'];
/** Drawings of a report; beside each may lie a PNG of it. */
export const plotNames = ['accuracy.svg', 'frontier.svg', 'divergence.svg', 'layers.svg'] as const;
export type PlotName = (typeof plotNames)[number];

/** All that a sweep and its report leave. */
const sweepResults: Results = {
  kind: 'sweep',
  names: [resultName, recordsName, outcomesName, reportName, plotsName],
  inside: (config) => [
    ...setNames(config).flatMap((name, i) => [outcomeFile(i, name), `${outcomeFile(i, name)}.tmp`]),
    ...plotNames.flatMap((name) => [name, pngName(name)]).map((name) => `${plotsName}/${name}`),
  ],
};

export const pngName = (name: string): string => name.replace(/\.svg$/, '.png');

const outcomeFile = (index: number, name: string): string =>
  `${outcomesName}/${String(index + 1).padStart(2, '0')}-${name}.safetensors`;

/** Of the sets in a journal's configuration. */
function setNames(config: unknown): readonly string[] {
  return (config as Partial<ResolvedSweep> | undefined)?.sets?.map(({ name }) => name) ?? [];
}

/** Files of the sweep in `directory`, those of its report among them, as far as they may be there; relative paths. */
export async function sweepFiles(directory: string): Promise<readonly string[]> {
  return (await ownFiles(directory, sweepResults)).filter(
    (name) => name !== outcomesName && name !== plotsName,
  );
}

/** Opens the journal of a sweep in `out`: `openResultsDirectory`. */
export async function openSweepDirectory<Entry>(
  out: string,
  identity: unknown,
  options: DirectoryOptions,
): Promise<Journal<Entry>> {
  const journal = await openResultsDirectory<Entry>(out, sweepResults, identity, options);
  await makeDirectory(join(out, outcomesName)).catch(async (error) => {
    await journal.close();
    throw error;
  });
  return journal;
}

/** Writes what set number `index` gave. Gives the file's name below `out`. */
export async function saveOutcome(
  out: string,
  index: number,
  name: string,
  outcome: SetOutcome,
): Promise<string> {
  const file = outcomeFile(index, name);
  await writeOutcome(join(out, file), outcome);
  return file;
}

/**
 * The options that decide what is evaluated: a sweep may go on with more threads, on another device, or with other
 * folds. The rule decides where a search goes, and nothing else.
 */
export function decisive(config: ResolvedSweep): Partial<ResolvedSweep> {
  const { threads: _threads, memory: _memory, device: _device, concurrency: _concurrency, ...rest } = config;
  const { folds: _folds, repeats: _repeats, replicates: _replicates, seed: _seed, rule, ...evaluated } = rest;
  const searching = config.search !== 'grid' && config.search !== 'chebyshev';
  return { ...evaluated, ...(searching && { rule }) };
}

/** What the sets of a sweep gave, from its files. */
export async function readOutcomes(out: string, sets: readonly SweptSet[]): Promise<AnalysedSet[]> {
  return await Promise.all(
    sets.map(async ({ name, role, kind, samples, outcome, metrics }) => {
      if (outcome !== null) return { name, role, kind, ...(await readOutcome(join(out, outcome))) };
      return { name, role, kind, samples, scores: Float64Array.from(metrics, ({ top1 }) => top1) };
    }),
  );
}

export function analysisOptions({ rule, folds, repeats, replicates, seed }: ResolvedSweep): AnalysisOptions {
  return { rule: parseRule(rule), ...(folds !== undefined && { folds }), repeats, replicates, seed };
}

/** Throws ERR_USAGE where folds were asked for that the select sets cannot be split into, before any evaluation. */
export function checkSplit(sets: readonly EvaluatedSet[], folds: number | undefined): void {
  const select = sets.filter(({ role }) => role === 'select');
  checkFolds(
    select.map(({ name, samples, groups }) => ({ name, samples, ...(groups && { groups: groups.ids }) })),
    folds,
  );
}
