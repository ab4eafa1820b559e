import { join } from 'node:path';
import type { EvaluationSet } from '../eval/data/evaluation-set.js';
import type { Evaluator } from '../eval/evaluator.js';
import { PictureEvaluator } from '../eval/picture-evaluator.js';
import { makeDirectory } from '../files/make-directory.js';
import { NetworkEvaluator } from '../train/network-evaluator.js';
import { makePair, type TrainOptions, train, writeInitialModel } from './models.js';
import { judgePair, type PairOutcome } from './outcome.js';
import { permuteHiddenUnits } from './permutation.js';
import { type SaveSweep, saveSweep, sweepName } from './saved-sweep.js';
import { makeEvaluationSets } from './sets.js';
import { initialisation } from './streams.js';
import { permuteVit } from './vit-permutation.js';

/** What stands in the fine-tuned model's place to show what interpolation needs. */
export const controls = ['permuted', 'independent'] as const;
export type Control = (typeof controls)[number];

export interface SeedOutcome extends PairOutcome {
  readonly seed: number;
  readonly controls?: Readonly<Record<Control, PairOutcome>>;
}

export interface SeedRunOptions extends TrainOptions {
  /** Where the pair stays. */
  readonly root: string;
  /** For models of no further use. */
  readonly scratch: string;
  /** Where `root` will lie in the end; the sweep and its report are written to `root/sweep`. Default: they are not. */
  readonly kept?: string;
  readonly control: boolean;
}

/** The whole method once: draws, trains, evaluates, chooses. */
export async function runSeed(options: SeedRunOptions): Promise<SeedOutcome> {
  const { root, scratch, recipe, seed, control, signal, onStep } = options;
  for (const directory of [root, scratch]) await makeDirectory(directory);
  onStep?.('drawing', 0);
  const pair = await makePair(root, options);
  onStep?.('drawing', 1);
  const sets = await makeEvaluationSets(recipe, seed, signal);
  const { kept } = options;
  const judge = (finetuned: string, save?: SaveSweep) =>
    sweepPair({ ...pair, finetuned }, sets, options, save);
  const save = kept === undefined ? undefined : { directory: join(root, sweepName), kept };
  const outcome = { seed, ...(await judge(pair.finetuned, save)) };
  if (!control) return outcome;
  return {
    ...outcome,
    controls: {
      permuted: await judge(await makePermuted(scratch, pair.finetuned, options)),
      independent: await judge(await makeIndependent(scratch, options)),
    },
  };
}

async function makePermuted(
  scratch: string,
  finetuned: string,
  { recipe, seed }: TrainOptions,
): Promise<string> {
  const permuted = join(scratch, 'permuted');
  const permute = recipe.network.kind === 'mlp' ? permuteHiddenUnits : permuteVit;
  await permute(finetuned, permuted, seed, initialisation.permutation);
  return permuted;
}

/** Trained on the narrow distribution from random weights that have nothing to do with the zero-shot model's. */
async function makeIndependent(scratch: string, options: TrainOptions): Promise<string> {
  const initial = join(scratch, 'independent-initial');
  await writeInitialModel(initial, options.recipe, options.seed, initialisation.independent);
  return await train(initial, join(scratch, 'independent'), 'fine-tuning', options);
}

async function sweepPair(
  pair: { readonly zeroshot: string; readonly finetuned: string },
  sets: readonly EvaluationSet[],
  { recipe, seed, threads, signal, onStep }: TrainOptions,
  save: SaveSweep | undefined,
): Promise<PairOutcome> {
  const open = recipe.network.kind === 'mlp' ? NetworkEvaluator.open : PictureEvaluator.open;
  const evaluator: Evaluator = await open({
    ...pair,
    sets,
    ...(threads !== undefined && { threads }),
    ...(signal && { signal }),
  });
  try {
    onStep?.('evaluating', 0);
    const evaluations = await (save
      ? saveSweep(evaluator, recipe.alphas, seed, save, signal)
      : evaluator.evaluate(recipe.alphas, signal));
    return judgePair(recipe.alphas, evaluator.sets, evaluations, seed);
  } finally {
    await evaluator.close();
  }
}
