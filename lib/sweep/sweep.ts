import { resolve } from 'node:path';
import { beginCall } from '../call-options.js';
import type { ProgressListener } from '../checkpoint/progress.js';
import { WisemergeError } from '../errors.js';
import { CommandEvaluator } from '../eval/command-evaluator.js';
import { type Evaluate, FunctionEvaluator } from '../eval/function-evaluator.js';
import { ownCopy } from '../own-copy.js';
import { type HeadProgress, sweepHead } from './head-sweep.js';
import { type ModelProgress, sweepWith } from './model-sweep.js';
import { isNetwork, refuseChebyshev, refuseLayers, sweepImages, sweepNetwork } from './network-sweep.js';
import { readReferences } from './references.js';
import type { SweepResult } from './result.js';
import type { DirectoryOptions } from './results-directory.js';
import { checkRunOptions } from './run-options.js';
import type { ResolvedSweep, SweepConfig } from './sweep-options.js';
import { hasText } from './text-sets.js';
import { sweepText } from './text-sweep.js';

export type SweepProgress = HeadProgress | ModelProgress;

export interface SweepOptions extends SweepConfig, DirectoryOptions {
  /** Directory of the results: created, or with `resume` gone on with. */
  readonly out: string;
  /**
   * Evaluates a model, in place of the head's features or of a command. A change of the function is not
   * noticed by `resume`.
   */
  readonly evaluate?: Evaluate;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: SweepProgress) => void;
  /** Of the comparison of the two checkpoints. */
  readonly onCompare?: ProgressListener;
}

/**
 * Evaluates the models between two checkpoints and chooses alpha (WiSE-FT, Wortsman et al., 2021): curves of
 * accuracy, the choice by `rule`, and how firm it is.
 *
 * A classifier's head on cached features is evaluated at every alpha at once and exactly; MLPs, networks on images,
 * and decoders on text, at the alphas of a grid and of a search around the best. Any other model goes through
 * `evaluate` or `command`.
 *
 * What is done is journalled, and `resume` goes on with it. Rejects with ERR_SWEEP_FILE, ERR_USAGE,
 * ERR_REPORT_SET, ERR_DATA, ERR_DATA_MISMATCH, ERR_INCOMPATIBLE (before any work), ERR_OUTPUT_EXISTS,
 * ERR_SWEEP_CHANGED, ERR_SWEEP_RESULT, ERR_EVALUATION, ERR_IO, ERR_MEMORY, with what `evaluate` throws, or with
 * the abort reason.
 */
export async function sweep(options: SweepOptions): Promise<SweepResult> {
  using _call = beginCall(options);
  const { out, resume, force, evaluate, signal, onProgress, onCompare, ...given } = ownCopy(options);
  checkRunOptions(options);
  const { readSweepLists, resolveSweep } = await import('./sweep-options.js');
  const config = resolveSweep(await readSweepLists(given), { evaluated: evaluate !== undefined });
  const kind = evaluate ? 'function' : config.command ? 'command' : await kindOf(config);
  refuseUnused(kind, given);
  const references = config.references && (await readReferences(config.references, config.sets));
  const run = {
    out: resolve(out),
    ...(resume && { resume }),
    ...(force && { force }),
    ...(signal && { signal }),
    ...(onProgress && { onProgress }),
    ...(onCompare && { onCompare }),
    ...(references && { references }),
  };
  if (kind !== 'images' && kind !== 'text') refuseLayers(config);
  if (kind === 'images') return await sweepImages(config, run);
  if (kind === 'head') return await sweepHead(config, run);
  refuseChebyshev(config);
  if (kind === 'text') return await sweepText(config, run);
  if (kind === 'network') return await sweepNetwork(config, run);
  const evaluator = evaluate
    ? await FunctionEvaluator.open(config, evaluate, signal)
    : await CommandEvaluator.open({ ...config, command: config.command!, out: run.out }, signal);
  try {
    return await sweepWith(evaluator, config, run);
  } finally {
    await evaluator.close();
  }
}

type SweepKind = 'head' | 'network' | 'images' | 'text' | 'function' | 'command';

async function kindOf(config: ResolvedSweep): Promise<SweepKind> {
  if (hasText(config.sets)) return 'text';
  if (config.sets.some(({ images }) => images !== undefined)) return 'images';
  return (await isNetwork(config)) ? 'network' : 'head';
}

/** Options that only some kinds of sweeps have a use for. */
const usedBy: Readonly<Partial<Record<keyof SweepConfig, readonly SweepKind[]>>> = {
  head: ['head', 'images'],
  keep: ['command'],
  heads: ['images'],
  templates: ['images'],
  layerGroups: ['images', 'text'],
  activation: ['network'],
  budget: ['network', 'images', 'text', 'function', 'command'],
  tolerance: ['network', 'images', 'text', 'function', 'command'],
  minGain: ['network', 'images', 'text', 'function', 'command'],
  concurrency: ['function', 'command'],
  precision: ['head', 'images', 'text'],
  memory: ['head', 'function'],
};

/** An option that would do nothing is a misunderstanding. Throws ERR_SWEEP_FILE. */
function refuseUnused(kind: SweepKind, given: SweepConfig): void {
  const what = {
    head: 'classifier heads',
    network: 'MLPs',
    images: 'networks on images',
    text: 'decoders on text',
    function: 'models that a function evaluates',
    command: 'models that a command evaluates',
  }[kind];
  for (const [option, kinds] of Object.entries(usedBy)) {
    if (given[option as keyof SweepConfig] === undefined || kinds.includes(kind)) continue;
    throw new WisemergeError('ERR_SWEEP_FILE', `${option} does nothing in a sweep of ${what}`, {
      hint: `Leave ${option} out.`,
    });
  }
  const { precision = 'exact' } = given;
  if (precision !== 'exact' && !given.device?.startsWith('cuda')) {
    throw new WisemergeError(
      'ERR_SWEEP_FILE',
      `precision ${precision} is for tensor cores; the CPU is always exact`,
      {
        hint: 'Add `device: cuda`, or leave `precision` out.',
      },
    );
  }
  if (precision === 'tf32' && kind === 'head') {
    throw new WisemergeError('ERR_SWEEP_FILE', 'precision tf32 is for whole networks, not for a head', {
      hint: 'Use `precision: fast`.',
    });
  }
  const own = kind === 'function' || kind === 'command';
  if ((kind === 'network' || own) && given.device?.startsWith('cuda')) {
    const why = own ? `the ${kind} chooses its device itself` : `${what} are evaluated on the CPU`;
    throw new WisemergeError('ERR_SWEEP_FILE', `device ${given.device} has no effect: ${why}`, {
      hint: 'Leave `device` out; heads, and networks on images and text, can be evaluated on a GPU.',
    });
  }
}
