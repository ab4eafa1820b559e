import { WisemergeError } from '../../errors.js';
import { type EvaluationSet, openEvaluationSet } from '../../eval/data/evaluation-set.js';
import type { EpochRecord } from '../../train/epoch-directory.js';
import { type FinetuneResult, finetune } from '../../train/finetune.js';
import type { FinetuneOptions, TrainingSet } from '../../train/options.js';
import { formatCount, formatNumber, formatPercent, formatTable, printable } from '../format.js';
import { ProgressLine } from '../progress-line.js';
import { note, type OutputFlags, printResult, warn } from '../terminal.js';

export interface FinetuneFlags extends OutputFlags, Omit<FinetuneOptions, 'train' | 'heldOut'> {
  readonly features: string;
  readonly labels: string;
  readonly heldOutFeatures?: string;
  readonly heldOutLabels?: string;
}

export async function runFinetune(flags: FinetuneFlags, signal: AbortSignal): Promise<void> {
  const { features, labels, heldOutFeatures, heldOutLabels, json: _json, quiet: _quiet, ...options } = flags;
  if ((heldOutFeatures === undefined) !== (heldOutLabels === undefined)) {
    throw new WisemergeError(
      'ERR_USAGE',
      'a held-out set needs both --held-out-features and --held-out-labels',
    );
  }
  const opened: EvaluationSet[] = [];
  const open = async (name: string, features: string, labels: string): Promise<TrainingSet> => {
    const source = { name, role: 'select', kind: 'id', features, labels } as const;
    const set = await openEvaluationSet(source, { pictures: true });
    opened.push(set);
    // By its files, as the command that is recorded names it.
    return { ...set, name: `${features},${labels}` };
  };
  const progress = new ProgressLine(flags);
  let done: EpochRecord | undefined;
  let result: FinetuneResult;
  try {
    const train = await open('train', features, labels);
    const heldOut =
      heldOutFeatures !== undefined && heldOutLabels !== undefined
        ? await open('held-out', heldOutFeatures, heldOutLabels)
        : undefined;
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
      hint: 'Go on with the same flags and --resume.',
    });
  } finally {
    progress.end();
    await Promise.all(opened.map((set) => set.close()));
  }
  for (const warning of result.warnings) warn(flags, printable(warning));
  printResult(flags, result, () => `${describeEpochs(result)}\n\n${result.directory}`);
  const { trained, parameters, frozen, seconds } = result;
  const rest = frozen > 0 ? `, ${frozen} tensors left as they are` : '';
  const names = trained.length > 4 ? `${trained.length} tensors` : trained.map(printable).join(', ');
  note(flags, `trained ${names}: ${formatCount(parameters)} parameters${rest}; ${seconds.toFixed(1)} s`);
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
