import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { lockDirectory } from '../checkpoint/directory-lock.js';
import { ioError, WisemergeError } from '../errors.js';
import type { EvaluatedSet } from '../eval/evaluator.js';
import type { AnalysedSet, AnalysisOptions } from './analysis.js';
import { checkFolds } from './folds.js';
import { Journal } from './journal.js';
import { readOutcome, type SetOutcome, writeOutcome } from './outcome-file.js';
import { presentOf, setAside, settlePrevious } from './previous-results.js';
import { recordsName, resultName, type SweptSet } from './result.js';
import { parseRule } from './rule.js';
import type { ResolvedSweep } from './sweep-options.js';

const journalName = 'journal.jsonl';
const outcomesName = 'outcomes';
const lockName = '.lock';
/** All that a sweep and its report leave, the journal first. */
const ourNames = [journalName, resultName, recordsName, outcomesName, 'report.html', 'plots'];

export interface DirectoryOptions {
  /** Go on where an earlier run of the same configuration stopped. */
  readonly resume?: boolean;
  /** Replace an earlier sweep. */
  readonly force?: boolean;
}

/**
 * Opens the journal of a sweep in `out`, new or gone on with; until it is closed no other run can. `identity` decides
 * the results. With `force` an earlier sweep is there again if nothing was evaluated by then. Throws ERR_OUTPUT_EXISTS, ERR_OUTPUT_BUSY, ERR_SWEEP_CHANGED, ERR_SWEEP_RESULT, ERR_IO.
 */
export async function openSweepDirectory<Entry>(
  out: string,
  identity: unknown,
  options: DirectoryOptions,
): Promise<Journal<Entry>> {
  const lock = join(out, lockName);
  if (
    await stat(out).then(
      (there) => !there.isDirectory(),
      () => false,
    )
  ) {
    throw new WisemergeError('ERR_OUTPUT_EXISTS', `${out} is a file; the output is a directory`, {
      file: out,
      hint: 'Give another --out.',
    });
  }
  await mkdir(out, { recursive: true })
    .then(() => lockDirectory(lock))
    .catch((error) => {
      throw ioError(error, 'create', out);
    });
  const release = async (): Promise<void> => {
    try {
      await settlePrevious(out, ourNames);
    } finally {
      await rm(lock, { recursive: true, force: true });
    }
  };
  try {
    await settlePrevious(out, ourNames);
    return (await openJournal<Entry>(out, identity, options)).releaseOnClose(release);
  } catch (error) {
    await release();
    throw error;
  }
}

async function openJournal<Entry>(
  out: string,
  identity: unknown,
  { resume, force }: DirectoryOptions,
): Promise<Journal<Entry>> {
  const path = join(out, journalName);
  const exists = await stat(path).then(
    () => true,
    () => false,
  );
  if (exists && resume) return await Journal.resume<Entry>(path, identity);
  if (exists && !force) {
    throw new WisemergeError('ERR_OUTPUT_EXISTS', `${out} holds a sweep`, {
      file: out,
      hint: 'Go on with it (--resume), replace it (--force), or give another --out.',
    });
  }
  const present = await presentOf(out, ourNames);
  // Without a journal nothing says that they are a sweep's.
  if (!exists && present.length > 0) {
    throw new WisemergeError(
      'ERR_OUTPUT_EXISTS',
      `${out} has no journal of a sweep, but ${present.join(', ')}`,
      { file: out, hint: 'Give another --out, or move what has these names away.' },
    );
  }
  if (present.length > 0) await setAside(out, ourNames);
  await mkdir(join(out, outcomesName), { recursive: true }).catch((error) => {
    throw ioError(error, 'create', out);
  });
  return await Journal.create<Entry>(path, identity);
}

/** Writes what set number `index` gave. Gives the file's name below `out`. */
export async function saveOutcome(
  out: string,
  index: number,
  name: string,
  outcome: SetOutcome,
): Promise<string> {
  const file = `${outcomesName}/${String(index + 1).padStart(2, '0')}-${name}.safetensors`;
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
