import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { OutputTransaction } from '../checkpoint/transaction.js';
import { ioError, WisemergeError } from '../errors.js';
import type { SetKind } from '../eval/data/evaluation-set.js';
import { readTextFile } from '../files/read-whole.js';
import { meanInterval } from '../statistics/student.js';
import { sweepFiles } from '../sweep/sweep-directory.js';
import { version } from '../version.js';
import { pairNames } from './models.js';
import { type Accuracies, meanAccuracies, type PairOutcome } from './outcome.js';
import { type Recipe, standardRecipe } from './recipe.js';
import { sweepName } from './saved-sweep.js';
import { type Control, controls, runSeed, type SeedOutcome } from './seed-run.js';
import { distributionOf } from './sets.js';

/** The demo's result in its directory, which also tells the directory for the demo's own. */
export const demoName = 'demo.json';
const format = 'wisemerge-demo';
export const defaultSeeds = 5;

export interface DemoOptions {
  /** Directory to create, for the first seed's models and the result. Default: nothing is kept. */
  readonly out?: string;
  /** Runs of the whole method, from 2; seeds are 0, 1, … Default 5. */
  readonly seeds?: number;
  /** Show what breaks interpolation, too. */
  readonly control?: boolean;
  /** Replace an earlier demo, when this one is complete. */
  readonly force?: boolean;
  /** Default: `standardRecipe`. */
  readonly recipe?: Recipe;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: DemoProgress) => void;
}

export interface DemoProgress {
  /** From 1. */
  readonly run: number;
  readonly runs: number;
  readonly what: string;
  /** Of this step, 0 to 1. */
  readonly share: number;
}

/** The mean over seeds and its 95 % confidence interval (Student's). */
export interface Estimate {
  readonly mean: number;
  readonly ci95: readonly [number, number];
}

type Reported = Omit<Accuracies, 'middle'>;
type Ends = Omit<Accuracies, 'chosen'>;

export interface ControlResult {
  /** `middle` is at alpha 0.5. */
  readonly id: Ends;
  readonly shift: Ends;
  /** As of the real pair, alpha chosen in the same way. */
  readonly gain: Estimate;
}

/** Accuracies in [0, 1], means over seeds, on samples that had no part in the choice of alpha. */
export interface DemoResult {
  /** The mean of the seeds' choices. */
  readonly alpha: number;
  readonly id: Reported;
  /** Mean over the shifts. */
  readonly shift: Reported;
  /** Shift accuracy at the chosen alpha less that of the better end, seed by seed. */
  readonly gain: Estimate;
  /** ID accuracy at the chosen alpha less that of the fine-tuned model. */
  readonly idGain: Estimate;
  readonly seeds: number;
  /** Mean of ID accuracy and mean shift accuracy on the samples that alpha was chosen on, at that alpha. */
  readonly chosenOn: number;
  /** The same where alpha is chosen on other folds of those samples: how far the choice flatters. */
  readonly crossValidated: number;
  readonly sets: readonly {
    readonly name: string;
    readonly kind: SetKind;
    readonly accuracy: Reported;
    /** At the chosen alpha, over the set's own better end. */
    readonly gain: Estimate;
  }[];
  /** Every seed's choice. */
  readonly runs: readonly {
    readonly seed: number;
    readonly alpha: number;
    readonly foldAlphas: readonly number[];
    readonly chosenOn: number;
    readonly crossValidated: number;
    readonly id: Reported;
    readonly shift: Reported;
    readonly gain: number;
  }[];
  readonly control?: Readonly<Record<Control, ControlResult>>;
  readonly seconds: number;
  /** Of what was in the output's place. */
  readonly warnings: readonly string[];
}

/** What `demo.json` has. */
type Figures = Omit<DemoResult, 'warnings'>;

/**
 * WiSE-FT (Wortsman et al., 2021) from drawn pictures to its result, several times over: pre-training, fine-tuning,
 * the sweep, the choice of alpha, and accuracies on data that the choice never saw. Nothing is read but the
 * recipe; the same seeds give the same figures.
 *
 * Rejects with ERR_USAGE, ERR_OUTPUT_*, ERR_IO, ERR_NO_SPACE, ERR_OUT_OF_MEMORY, or the abort reason; `out` then
 * is as it was.
 */
export async function demo(options: DemoOptions = {}): Promise<DemoResult> {
  const { out, seeds = defaultSeeds, control = false, recipe = standardRecipe, signal, onProgress } = options;
  signal?.throwIfAborted();
  if (!(Number.isSafeInteger(seeds) && seeds >= 2)) {
    throw new WisemergeError('ERR_USAGE', `seeds: ${seeds} is not a whole number from 2`, {
      hint: 'A confidence interval over seeds needs two of them at least.',
    });
  }
  const began = performance.now();
  const transaction =
    out === undefined
      ? undefined
      : await OutputTransaction.begin(
          resolve(out),
          { kind: 'demo', force: options.force ?? false, ownEntries },
          signal,
        );
  const scratch = await mkdtemp(join(tmpdir(), 'wisemerge-demo-')).catch((error) => {
    throw ioError(error, 'create a directory in', tmpdir());
  });
  try {
    const runs: SeedOutcome[] = [];
    for (let seed = 0; seed < seeds; seed++) {
      const onStep = (what: string, share: number) =>
        onProgress?.({ run: seed + 1, runs: seeds, what, share });
      const own = join(scratch, String(seed));
      const root = seed === 0 && transaction ? transaction.directory : own;
      runs.push(
        await runSeed({
          ...{ root, recipe, seed, control, onStep },
          scratch: own,
          ...(root !== own && { kept: transaction!.target }),
          // An MLP of this size is not shared out among threads with profit.
          ...(recipe.network.kind === 'mlp' && { threads: 1 }),
          ...(signal && { signal }),
        }),
      );
      await rm(own, { recursive: true });
    }
    const result = summarise(runs, (performance.now() - began) / 1000);
    signal?.throwIfAborted();
    if (transaction) {
      await writeResult(join(transaction.directory, demoName), result, recipe);
      await transaction.commit();
    }
    return { ...result, warnings: transaction?.notes ?? [] };
  } finally {
    await rm(scratch, { recursive: true, force: true });
    await transaction?.rollback();
  }
}

/** A demo has no manifest: it is known by its result. */
async function ownEntries(directory: string): Promise<readonly string[]> {
  try {
    const found = JSON.parse(await readTextFile(join(directory, demoName)));
    if (found?.format !== format) return [];
  } catch {
    return [];
  }
  const sweep = await sweepFiles(join(directory, sweepName));
  return [demoName, ...pairNames, ...sweep.map((name) => join(sweepName, name))];
}

async function writeResult(path: string, result: Figures, recipe: Recipe): Promise<void> {
  const text = `${JSON.stringify({ format, wisemerge: version, recipe, ...result }, null, 2)}\n`;
  await writeFile(path, text).catch((error) => {
    throw ioError(error, 'write', path);
  });
}

function summarise(runs: readonly SeedOutcome[], seconds: number): Figures {
  const reported = ({ zeroshot, finetuned, chosen }: Accuracies): Reported => ({
    zeroshot,
    finetuned,
    chosen,
  });
  const mean = (of: (run: SeedOutcome) => Accuracies) => reported(meanAccuracies(runs.map(of)));
  const control = runs.every((run) => run.controls)
    ? Object.fromEntries(
        controls.map((name) => [name, summariseControl(runs.map((run) => run.controls![name]))]),
      )
    : undefined;
  return {
    alpha: runs.reduce((sum, { alpha }) => sum + alpha, 0) / runs.length,
    id: mean(({ id }) => id),
    shift: mean(({ shift }) => shift),
    gain: estimate(runs.map(({ gain }) => gain)),
    idGain: estimate(runs.map(({ id }) => id.chosen - id.finetuned)),
    seeds: runs.length,
    chosenOn: runs.reduce((sum, run) => sum + run.chosenOn, 0) / runs.length,
    crossValidated: runs.reduce((sum, run) => sum + run.crossValidated, 0) / runs.length,
    sets: runs[0]!.sets.map(({ name, kind }, s) => ({
      name: distributionOf(name),
      kind,
      accuracy: mean(({ sets }) => sets[s]!.accuracy),
      gain: estimate(
        runs.map(({ sets }) => {
          const { zeroshot, finetuned, chosen } = sets[s]!.accuracy;
          return chosen - Math.max(zeroshot, finetuned);
        }),
      ),
    })),
    runs: runs.map(({ seed, alpha, foldAlphas, chosenOn, crossValidated, id, shift, gain }) => {
      const choice = { seed, alpha, foldAlphas, chosenOn, crossValidated };
      return { ...choice, id: reported(id), shift: reported(shift), gain };
    }),
    ...(control && { control: control as Record<Control, ControlResult> }),
    seconds,
  };
}

function summariseControl(outcomes: readonly PairOutcome[]): ControlResult {
  const ends = ({ zeroshot, finetuned, middle }: Accuracies): Ends => ({ zeroshot, finetuned, middle });
  return {
    id: ends(meanAccuracies(outcomes.map(({ id }) => id))),
    shift: ends(meanAccuracies(outcomes.map(({ shift }) => shift))),
    gain: estimate(outcomes.map(({ gain }) => gain)),
  };
}

function estimate(values: readonly number[]): Estimate {
  const { mean, lower, upper } = meanInterval(values);
  return { mean, ci95: [lower, upper] };
}
