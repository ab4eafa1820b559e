import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeSafetensors } from '../checkpoint/write-safetensors.js';
import { ioError } from '../errors.js';
import { Random } from '../statistics/random.js';
import { finetune } from '../train/finetune.js';
import { distributions } from './distributions.js';
import { makeGlyphs } from './glyphs.js';
import { initialMlp, normalFrom } from './initial-mlp.js';
import { initialVit } from './initial-vit.js';
import { drawPictures, trainingSet } from './pictures.js';
import type { Recipe } from './recipe.js';
import { shape } from './renderer.js';
import { initialisation, pictureSets } from './streams.js';

/** The models' names in the demo's directory. */
export const pairNames = ['zeroshot', 'finetuned'] as const;

/** A progress report: what is being done, and how much of it is, 0 to 1. */
export type StepListener = (what: string, share: number) => void;

export interface TrainOptions {
  readonly recipe: Recipe;
  readonly seed: number;
  readonly threads?: number;
  readonly signal?: AbortSignal;
  readonly onStep?: StepListener;
}

/**
 * Makes the pair of models: `zeroshot`, trained from random weights on the broad distribution with noisy labels,
 * and `finetuned`, trained from it on the narrow one. Both are model directories in `root`.
 */
export async function makePair(
  root: string,
  options: TrainOptions,
): Promise<{ readonly zeroshot: string; readonly finetuned: string }> {
  const initial = join(root, 'initial');
  const [first, second] = pairNames;
  await writeInitialModel(initial, options.recipe, options.seed, initialisation.pretraining);
  const zeroshot = await train(initial, join(root, first), 'pre-training', options);
  const finetuned = await train(zeroshot, join(root, second), 'fine-tuning', options);
  await rm(initial, { recursive: true });
  return { zeroshot, finetuned };
}

/** Trains the model at `from` by one of the recipe's runs; gives `to`, where the last epoch's checkpoint goes. */
export async function train(
  from: string,
  to: string,
  run: 'pre-training' | 'fine-tuning',
  { recipe, seed, threads, signal, onStep }: TrainOptions,
): Promise<string> {
  const which = run === 'pre-training' ? recipe.pretraining : recipe.finetuning;
  const glyphs = makeGlyphs(recipe.classes);
  const { samples, labelNoise } = which;
  const [distribution, set] =
    run === 'pre-training'
      ? [distributions.broad, pictureSets.pretraining]
      : [distributions.id, pictureSets.finetuning];
  const pictures = await drawPictures(glyphs, distribution, samples, { seed, set, labelNoise, signal });
  const { batchSize, weightDecay, clip } = recipe;
  const epochs = `${to}-epochs`;
  const { directory } = await finetune({
    zeroshot: from,
    train: trainingSet(pictures, { copies: which.copies, ...(recipe.network.kind === 'vit' && { shape }) }),
    out: epochs,
    epochs: which.epochs,
    lr: which.lr,
    ...{ batchSize, weightDecay, clip, seed },
    ...(threads !== undefined && { threads }),
    ...(signal && { signal }),
    onProgress: ({ epoch, epochs, step, steps }) => onStep?.(run, (epoch - 1 + step / steps) / epochs),
  });
  try {
    await rename(directory, to);
    await rm(epochs, { recursive: true });
  } catch (error) {
    throw ioError(error, 'move', directory);
  }
  return to;
}

/** Writes the recipe's network with random weights. */
export async function writeInitialModel(
  directory: string,
  { classes, network }: Recipe,
  seed: number,
  stream: number,
): Promise<void> {
  const normal = normalFrom(new Random(seed, stream));
  const { tensors, config } =
    network.kind === 'mlp' ? initialMlp(network, classes, normal) : initialVit(network, classes, normal);
  try {
    await mkdir(directory, { recursive: true });
    await writeSafetensors(join(directory, 'model.safetensors'), tensors, { format: 'pt' });
    await writeFile(join(directory, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
  } catch (error) {
    throw ioError(error, 'write', directory);
  }
}
