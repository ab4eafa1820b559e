import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ioError } from '../errors.js';
import type { EvaluationSet } from '../eval/data/evaluation-set.js';
import type { Evaluator } from '../sweep/evaluator.js';
import { NetworkEvaluator } from '../train/network-evaluator.js';
import { makePair, type TrainOptions, train, writeInitialModel } from './models.js';
import { judgePair, type PairOutcome } from './outcome.js';
import { permuteHiddenUnits } from './permutation.js';
import { makeEvaluationSets } from './sets.js';
import { initialisation } from './streams.js';

/** What stands in the fine-tuned model's place to show what interpolation needs. */
export const controls = ['permuted', 'independent'] as const;
export type Control = (typeof controls)[number];

export interface SeedOutcome extends PairOutcome {
  readonly seed: number;
  readonly controls?: Readonly<Record<Control, PairOutcome>>;
}

/** The whole method once: draws, trains, evaluates, chooses. The pair stays in `root`. */
export async function runSeed(
  root: string,
  options: TrainOptions & { readonly control: boolean },
): Promise<SeedOutcome> {
  const { recipe, seed, control, signal, onStep } = options;
  await mkdir(root, { recursive: true }).catch((error) => {
    throw ioError(error, 'create', root);
  });
  onStep?.('drawing', 0);
  const pair = await makePair(root, options);
  onStep?.('drawing', 1);
  const sets = await makeEvaluationSets(recipe, seed, signal);
  const judge = (finetuned: string) => sweepPair({ ...pair, finetuned }, sets, options);
  const outcome = { seed, ...(await judge(pair.finetuned)) };
  if (!control) return outcome;
  return {
    ...outcome,
    controls: {
      permuted: await judge(await makePermuted(root, pair.finetuned, seed)),
      independent: await judge(await makeIndependent(root, options)),
    },
  };
}

async function makePermuted(root: string, finetuned: string, seed: number): Promise<string> {
  const permuted = join(root, 'control-permuted');
  await permuteHiddenUnits(finetuned, permuted, seed, initialisation.permutation);
  return permuted;
}

/** Trained on the narrow distribution from random weights that have nothing to do with the zero-shot model's. */
async function makeIndependent(root: string, options: TrainOptions): Promise<string> {
  const initial = join(root, 'control-initial');
  await writeInitialModel(initial, options.recipe, options.seed, initialisation.independent);
  return await train(initial, join(root, 'control-independent'), 'fine-tuning', options);
}

async function sweepPair(
  pair: { readonly zeroshot: string; readonly finetuned: string },
  sets: readonly EvaluationSet[],
  { recipe, seed, threads, signal, onStep }: TrainOptions,
): Promise<PairOutcome> {
  const evaluator: Evaluator = await NetworkEvaluator.open({
    ...pair,
    sets,
    ...(threads !== undefined && { threads }),
    ...(signal && { signal }),
  });
  try {
    onStep?.('evaluating', 0);
    const evaluations = await evaluator.evaluate(recipe.alphas, signal);
    return judgePair(recipe.alphas, evaluator.sets, evaluations, seed);
  } finally {
    await evaluator.close();
  }
}
