import { WisemergeError } from '../../errors.js';
import { readNames } from '../../eval/text/name-list.js';
import type { EpochRecord } from '../../train/epoch-directory.js';
import { type FinetuneResult, finetune } from '../../train/finetune.js';
import type { FinetuneOptions, TrainingSet } from '../../train/options.js';
import { openTrainingFeatures } from '../../train/training-features.js';
import { openTrainingImages } from '../../train/training-images.js';
import { formatCount, formatNumber, formatPercent, formatTable, printable } from '../format.js';
import { ProgressLine } from '../progress-line.js';
import { note, type OutputFlags, printResult, warnOfNumbers } from '../terminal.js';

export interface FinetuneFlags extends OutputFlags, Omit<FinetuneOptions, 'train' | 'heldOut'> {
  readonly features?: string;
  readonly images?: string;
  readonly labels?: string;
  readonly heldOutFeatures?: string;
  readonly heldOutImages?: string;
  readonly heldOutLabels?: string;
  /** A file. */
  readonly classNames?: string;
}

export async function runFinetune(flags: FinetuneFlags, signal: AbortSignal): Promise<void> {
  const { features, images, labels, heldOutFeatures, heldOutImages, heldOutLabels, classNames, ...more } =
    flags;
  const { json: _json, quiet: _quiet, ...options } = more;
  const heldOutFlags = { features: heldOutFeatures, images: heldOutImages, labels: heldOutLabels };
  checkFlags({ features, images, labels, classNames, heldOut: heldOutFlags });
  const opened: { close(): Promise<void> }[] = [];
  let classes = classNames === undefined ? undefined : await readNames(classNames, 'class names');
  const openImages = async (path: string, labels: string | undefined): Promise<TrainingSet> => {
    const set = await openTrainingImages({
      ...{ zeroshot: flags.zeroshot, images: path, signal },
      ...(labels !== undefined && { labels }),
      ...(flags.head !== undefined && { head: flags.head }),
      ...(classes && { classNames: classes }),
      ...(flags.threads !== undefined && { threads: flags.threads }),
    });
    opened.push(set);
    // The held-out set has the numbers of the classes that the training set has.
    classes ??= set.classNames && [...set.classNames];
    return {
      ...set,
      ...(labels !== undefined && { name: labels }),
      ...(classNames !== undefined && { classNamesFile: classNames }),
    };
  };
  const open = async (features: string, labels: string): Promise<TrainingSet> => {
    const set = await openTrainingFeatures({ features, labels });
    opened.push(set);
    return set;
  };
  const progress = new ProgressLine(flags);
  let done: EpochRecord | undefined;
  let result: FinetuneResult;
  try {
    // `checkFlags` has seen to it that features have labels.
    const train = images === undefined ? await open(features!, labels!) : await openImages(images, labels);
    const heldOut =
      heldOutImages !== undefined
        ? await openImages(heldOutImages, heldOutLabels)
        : heldOutFeatures === undefined
          ? undefined
          : await open(heldOutFeatures, heldOutLabels!);
    result = await finetune({
      ...options,
      train,
      ...(heldOut && { heldOut }),
      signal,
      onProgress: ({ epoch, epochs, step, steps, loss }) =>
        progress.show(`epoch ${epoch} of ${epochs}: ${step} of ${steps} steps, loss ${formatNumber(loss)}`),
      onEpoch: (record) => {
        done = record;
        progress.end();
        note(flags, describeEpoch(record));
      },
    });
  } catch (error) {
    if (!signal.aborted || !done) throw error;
    throw new WisemergeError('ERR_ABORTED', `interrupted; complete up to epoch ${done.epoch}`, {
      file: flags.out,
      hint: 'Continue with the same flags and --resume.',
    });
  } finally {
    progress.end();
    await Promise.all(opened.map((set) => set.close()));
  }
  // Most of all of elements beyond the range of their dtype.
  for (const warning of result.warnings) warnOfNumbers(printable(warning));
  printResult(flags, result, () => `${describeEpochs(result)}\n\n${result.directory}`);
  const { trained, parameters, frozen, device, seconds } = result;
  const rest = frozen > 0 ? `, ${frozen} tensors left as they are` : '';
  const names = trained.length > 4 ? `${trained.length} tensors` : trained.map(printable).join(', ');
  note(
    flags,
    `trained ${names}: ${formatCount(parameters)} parameters${rest}, on ${device}; ${seconds.toFixed(1)} s`,
  );
}

interface SetFlags {
  readonly features: string | undefined;
  readonly images: string | undefined;
  readonly labels: string | undefined;
}

/** Throws ERR_USAGE where flags do not name a set to train on, or half of one. */
function checkFlags(
  flags: SetFlags & { readonly heldOut: SetFlags; readonly classNames: string | undefined },
): void {
  const refuse = (message: string, hint: string) => new WisemergeError('ERR_USAGE', message, { hint });
  const { features, images, heldOut, classNames } = flags;
  if ((features === undefined) === (images === undefined)) {
    throw refuse(
      features === undefined
        ? 'there is nothing to train on'
        : '--features and --images are two training sets',
      'Give --images, or --features with --labels.',
    );
  }
  if (heldOut.features !== undefined && heldOut.images !== undefined) {
    throw refuse('--held-out-features and --held-out-images are two held-out sets', 'Give one of them.');
  }
  for (const [prefix, set] of [
    ['', flags],
    ['held-out-', heldOut],
  ] as const) {
    if (set.images !== undefined || (set.features === undefined) === (set.labels === undefined)) continue;
    throw refuse(`a set needs both --${prefix}features and --${prefix}labels`, 'Give both, or images.');
  }
  if (classNames !== undefined && images === undefined && heldOut.images === undefined) {
    throw refuse('--class-names is for images', 'Leave it out: labels of features are class numbers.');
  }
}

function describeEpoch({ epoch, loss, top1, heldOut }: EpochRecord): string {
  const text = `epoch ${epoch}: loss ${formatNumber(loss)}, top-1 ${formatPercent(top1)}`;
  if (!heldOut) return text;
  return `${text}; held out: loss ${formatNumber(heldOut.loss)}, top-1 ${formatPercent(heldOut.top1)}`;
}

function describeEpochs({ initial, epochs }: FinetuneResult): string {
  const watched = epochs.some(({ heldOut }) => heldOut);
  const held = (measured: { loss: number; top1: number } | undefined) =>
    watched ? [formatNumber(measured?.loss ?? null), measured ? formatPercent(measured.top1) : '–'] : [];
  return formatTable(
    ['epoch', 'loss', 'top-1', 'learning rate', ...(watched ? ['held-out loss', 'held-out top-1'] : [])],
    [
      ...(initial ? [['0', '–', '–', '–', ...held(initial)]] : []),
      ...epochs.map(({ epoch, loss, top1, learningRate, heldOut }) => [
        ...[String(epoch), formatNumber(loss), formatPercent(top1), formatNumber(learningRate)],
        ...held(heldOut),
      ]),
    ],
  );
}
