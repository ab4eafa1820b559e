import { openCheckpoint } from '../checkpoint/checkpoint.js';
import { WisemergeError } from '../errors.js';
import { findNetwork, isMlp } from '../eval/dense-network.js';
import { ImageEvaluator } from '../eval/image-evaluator.js';
import { NetworkEvaluator } from '../train/network-evaluator.js';
import type { RunOptions } from './head-sweep.js';
import { type ModelProgress, sweepWith } from './model-sweep.js';
import { openSets } from './open-sets.js';
import type { SweepResult } from './result.js';
import type { ResolvedSweep } from './sweep-options.js';

/** An MLP is evaluated whole, as it is fine-tuned; of any other model its head. */
export async function isNetwork({ zeroshot, head }: ResolvedSweep): Promise<boolean> {
  if (head !== undefined) return false;
  await using checkpoint = await openCheckpoint(zeroshot);
  return isMlp(checkpoint);
}

/** On cached features, rows for the first layer. */
export async function sweepNetwork(
  config: ResolvedSweep,
  run: RunOptions<ModelProgress>,
): Promise<SweepResult> {
  const { zeroshot, finetuned, activation, threads } = config;
  const { signal } = run;
  refuseChebyshev(config);
  const given = activation ? { activation } : {};
  await using checkpoint = await openCheckpoint(zeroshot);
  const { inputs, classes } = findNetwork(checkpoint, given);
  const sets = await openSets(config, { classes, dimension: inputs });
  try {
    const evaluator = await NetworkEvaluator.open({
      ...{ zeroshot, finetuned, sets, ...given },
      ...(threads !== undefined && { threads }),
      ...(signal && { signal }),
    });
    try {
      return await sweepWith(evaluator, config, run);
    } finally {
      await evaluator.close();
    }
  } finally {
    await Promise.all(sets.map((set) => set.close()));
  }
}

/** Whole networks on sets of images: ViT with its own head, CLIP with heads on its embeddings. */
export async function sweepImages(
  config: ResolvedSweep,
  run: RunOptions<ModelProgress>,
): Promise<SweepResult> {
  const { zeroshot, finetuned, heads, head, threads, classNames, templates } = config;
  const { device = 'auto', precision } = config;
  const { signal } = run;
  const evaluator = await ImageEvaluator.open({
    ...{ zeroshot, finetuned, device },
    ...(precision && { precision }),
    sets: config.sets.map(({ name, role, kind, images, labels, groups }) => ({
      ...{ name, role, kind },
      // `resolveSweep` has seen to it that it is there.
      images: images!,
      ...(labels !== undefined && { labels }),
      ...(groups !== undefined && { groups }),
      ...(classNames && { classNames }),
    })),
    ...(heads && { heads }),
    // `resolveSweep` has seen to it that both are there.
    ...(templates && classNames && { prompts: { classNames, templates } }),
    interpolate: config.search === 'chebyshev',
    ...(head !== undefined && { head }),
    ...(threads !== undefined && { threads }),
    ...(signal && { signal }),
  });
  try {
    return await sweepWith(evaluator, config, run);
  } finally {
    await evaluator.close();
  }
}

/** What interpolates is the evaluation of images. */
export function refuseChebyshev({ search }: ResolvedSweep): void {
  if (search !== 'chebyshev') return;
  throw new WisemergeError('ERR_SWEEP_FILE', 'search chebyshev is for sets of images', {
    hint: 'Use grid, refine or golden.',
  });
}

/** Alphas by layer go through the executor of networks. */
export function refuseLayers({ search }: ResolvedSweep): void {
  if (search !== 'layers' && search !== 'linear') return;
  throw new WisemergeError('ERR_SWEEP_FILE', `search ${search} is for networks on images and text`, {
    hint: 'Use grid, refine or golden.',
  });
}
