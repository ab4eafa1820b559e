import { mkdir, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { xxh3 } from '@node-rs/xxhash';
import { ioError, WisemergeError } from '../errors.js';
import { type EvaluationSet, openEvaluationSet } from '../eval/data/evaluation-set.js';
import { evaluateHead } from '../eval/head-evaluation.js';
import { HeadSession } from '../eval/head-session.js';
import { bestCalibrated, bestLikelihood } from '../eval/likelihood.js';
import { type HeadPair, openHeads } from '../eval/linear-head.js';
import { Engine, engineOptions } from '../native.js';
import { version } from '../version.js';
import { type AnalysedSet, analyse } from './analysis.js';
import { Journal } from './journal.js';
import { readOutcome, writeOutcome } from './outcome-file.js';
import { recordsName, resultName, type SweepResult, type SweptSet, writeResult } from './result.js';
import { parseRule } from './rule.js';
import { type ResolvedSweep, resolveSweep, type SweepConfig } from './sweep-options.js';

const journalName = 'journal.jsonl';
const outcomesName = 'outcomes';

export interface SweepProgress {
  readonly set: string;
  readonly samplesDone: number;
  /** Of all sets. */
  readonly samplesTotal: number;
}

export interface SweepOptions extends SweepConfig {
  /** Directory of the results: created, or with `resume` gone on with. */
  readonly out: string;
  /** Go on where an earlier run of the same configuration stopped. */
  readonly resume?: boolean;
  /** Replace an earlier sweep. */
  readonly force?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: SweepProgress) => void;
}

/**
 * Evaluates a classifier's head at every alpha between two models and chooses alpha (WiSE-FT, Wortsman et al.,
 * 2021): the exact curve of accuracy, metrics on a grid, the choice by `rule` and how firm it is.
 *
 * Each set is evaluated once and journalled; a run that was stopped goes on with the next set. Rejects with
 * ERR_SWEEP_FILE, ERR_USAGE, ERR_REPORT_SET, ERR_DATA, ERR_DATA_MISMATCH (before any work),
 * ERR_OUTPUT_EXISTS, ERR_SWEEP_CHANGED, ERR_SWEEP_RESULT, ERR_IO, ERR_MEMORY, or with the abort reason.
 */
export async function sweep(options: SweepOptions): Promise<SweepResult> {
  const { out, resume = false, force = false, signal, onProgress, ...given } = options;
  signal?.throwIfAborted();
  const began = performance.now();
  const config = resolveSweep(given);
  const heads = await openHeads(config.zeroshot, config.finetuned, {
    ...(config.head !== undefined && { head: config.head }),
    ...(signal && { signal }),
  });
  const sets = await openSets(config, heads);
  try {
    checkRule(config, sets);
    const identity = { ...config, headHash: hashOf(heads), fingerprints: sets.map((set) => set.fingerprint) };
    // Before the output is touched: a device may be missing.
    const { device = 'auto' } = config;
    using engine = new Engine(engineOptions(device === 'auto' ? 'cpu' : device, config.threads));
    const journal = await openJournal(resolve(out), identity, resume, force);
    try {
      return await run(engine, resolve(out), config, heads, sets, journal, began, signal, onProgress);
    } finally {
      await journal.close();
    }
  } finally {
    await Promise.all(sets.map((set) => set.close()));
  }
}

type JournalEntry = SweptSet & { readonly seconds: number };

async function run(
  engine: Engine,
  out: string,
  config: ResolvedSweep,
  heads: HeadPair,
  sets: readonly EvaluationSet[],
  journal: Journal<JournalEntry>,
  began: number,
  signal: AbortSignal | undefined,
  onProgress: SweepOptions['onProgress'],
): Promise<SweepResult> {
  using session = new HeadSession(engine, heads, sets, {
    ...(config.memory !== undefined && { memory: config.memory }),
  });
  await engine.pin(session.arena.buffer);
  const samplesTotal = sets.reduce((sum, set) => sum + set.samples, 0);
  const swept: JournalEntry[] = [...journal.entries];
  let before = 0;
  for (const [i, set] of sets.entries()) {
    if (i >= swept.length) {
      const start = performance.now();
      const { intervals, metrics } = await evaluateHead(session, set, config.alphas, {
        ...(signal && { signal }),
        onSamples: (done) => onProgress?.({ set: set.name, samplesDone: before + done, samplesTotal }),
      });
      const outcome = `${outcomesName}/${String(i + 1).padStart(2, '0')}-${set.name}.safetensors`;
      const { name, role, kind, samples, fingerprint, labels, groups } = set;
      await writeOutcome(join(out, outcome), { intervals, labels, ...(groups && { groups }) });
      const seconds = (performance.now() - start) / 1000;
      const entry = { name, role, kind, samples, fingerprint, outcome, metrics, seconds };
      await journal.add(entry);
      swept.push(entry);
    }
    before += set.samples;
  }
  signal?.throwIfAborted();
  const select = sets.filter(({ role }) => role === 'select').map((set) => ({ set }));
  const seen = select.length > 0 ? select : sets.map((set) => ({ set }));
  const likelihood = {
    alpha: await bestLikelihood(session, seen, { ...(signal && { signal }) }),
    calibrated: await bestCalibrated(session, seen, { ...(signal && { signal }) }),
  };
  const result: SweepResult = {
    format: 'wisemerge-sweep',
    version: 1,
    wisemerge: version,
    config,
    head: {
      name: heads.name,
      classes: heads.classes,
      dimension: heads.dimension,
      dtype: heads.dtype,
      hash: hashOf(heads),
    },
    alphas: config.alphas,
    sets: swept.map(({ seconds: _seconds, ...set }) => set),
    likelihood,
    analysis: analyse(config.alphas, await readOutcomes(out, swept), analysisOptions(config)),
    seconds:
      (performance.now() - began) / 1000 + journal.entries.reduce((sum, entry) => sum + entry.seconds, 0),
  };
  await writeResult(out, result);
  return result;
}

export function analysisOptions({ rule, folds, repeats, replicates, seed }: ResolvedSweep) {
  return { rule: parseRule(rule), folds, repeats, replicates, seed };
}

export async function readOutcomes(out: string, sets: readonly SweptSet[]): Promise<AnalysedSet[]> {
  return await Promise.all(
    sets.map(async ({ name, role, kind, outcome }) => ({
      name,
      role,
      kind,
      ...(await readOutcome(join(out, outcome))),
    })),
  );
}

async function openSets(config: ResolvedSweep, heads: HeadPair): Promise<EvaluationSet[]> {
  const { classes, dimension } = heads;
  const opened: EvaluationSet[] = [];
  try {
    for (const { groups, ...source } of config.sets) {
      const named = {
        ...source,
        ...(groups !== undefined && { groups }),
        ...(config.classNames && { classNames: config.classNames }),
      };
      opened.push(await openEvaluationSet(named, { classes, dimension }));
    }
    return opened;
  } catch (error) {
    await Promise.all(opened.map((set) => set.close()));
    throw error;
  }
}

/** A rule that cannot choose among these sets fails before the evaluation, not after it. */
function checkRule(config: ResolvedSweep, sets: readonly EvaluationSet[]): void {
  const domain = [0, 1] as const;
  const tiny = sets.map(({ name, role, kind }): AnalysedSet => {
    const intervals = {
      domain,
      lo: Float64Array.of(0, 0),
      hi: Float64Array.of(1, 1),
      open: new Uint8Array(2),
    };
    return { name, role, kind, intervals, labels: Int32Array.of(0, 0) };
  });
  analyse(config.alphas, tiny, { ...analysisOptions(config), folds: 2, repeats: 1, replicates: 1 });
}

async function openJournal(out: string, identity: unknown, resume: boolean, force: boolean) {
  const path = join(out, journalName);
  const exists = await stat(path).then(
    () => true,
    () => false,
  );
  if (exists && resume) return await Journal.resume<JournalEntry>(path, identity);
  if (exists && !force) {
    throw new WisemergeError('ERR_OUTPUT_EXISTS', `${out} holds a sweep`, {
      file: out,
      hint: 'Go on with it (--resume), replace it (--force), or give another --out.',
    });
  }
  if (exists) {
    for (const name of [resultName, recordsName, outcomesName, journalName]) {
      await rm(join(out, name), { recursive: true, force: true });
    }
  }
  await mkdir(join(out, outcomesName), { recursive: true }).catch((error) => {
    throw ioError(error, 'create', out);
  });
  return await Journal.create<JournalEntry>(path, identity);
}

function hashOf({ zeroshot, finetuned, biases }: HeadPair): string {
  const parts = [zeroshot, finetuned, ...(biases ? [biases.zeroshot, biases.finetuned] : [])];
  const state = xxh3.Xxh3.withSeed();
  for (const part of parts) state.update(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
  return state.digest().toString(16).padStart(16, '0');
}
