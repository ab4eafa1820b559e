import { type Flag, formatWords } from '../merge/command.js';
import type { FinetuneOptions, Training, TrainingSet } from './options.js';

/**
 * The command line that trains as `options` say, quoted for a POSIX shell. Sets opened by a caller are named by
 * what they are called.
 */
export function formatCommand(options: FinetuneOptions, training: Training): string {
  const { zeroshot, train, heldOut, out, head, activation, device, threads, force } = options;
  const { epochs, batchSize, lr, weightDecay, labelSmoothing, clip, warmup, seed, balanced } = training;
  const flags: Flag[] = [
    ['zeroshot', zeroshot],
    ...setFlags('', train),
    ...setFlags('held-out-', heldOut),
    ['class-names', train.classNamesFile ?? heldOut?.classNamesFile],
    ['out', out],
    ['head', head],
    ['activation', activation],
    ['epochs', epochs],
    ['batch-size', batchSize],
    ['lr', lr],
    ['weight-decay', weightDecay],
    ['label-smoothing', labelSmoothing],
    ['clip', clip],
    ['warmup', warmup],
    ['seed', seed],
    ['balanced', balanced],
    ['device', device],
    ['threads', threads],
    ['force', force],
  ];
  return formatWords('wisemerge finetune', [], flags);
}

/** A set opened from two files is named `features,labels`; one of images by these, and by its labels if it is a table. */
function setFlags(prefix: string, set: TrainingSet | undefined): [string, string | undefined][] {
  if (set?.images !== undefined) {
    return [
      [`${prefix}images`, set.images],
      [`${prefix}labels`, set.name],
    ];
  }
  const [features, labels] = set?.name?.split(',') ?? [];
  return [
    [`${prefix}features`, features],
    [`${prefix}labels`, labels],
  ];
}
