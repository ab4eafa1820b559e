import { quote } from '../merge/command.js';
import type { FinetuneOptions, Training } from './options.js';

/**
 * The command line that trains as `options` say, quoted for a POSIX shell. Sets opened by a caller are named by
 * what they are called.
 */
export function formatCommand(options: FinetuneOptions, training: Training): string {
  const { zeroshot, train, heldOut, out, head, activation, threads } = options;
  const { epochs, batchSize, lr, weightDecay, labelSmoothing, clip, warmup, seed, balanced } = training;
  const flags: [string, string | number | boolean | undefined][] = [
    ['zeroshot', zeroshot],
    ...setFlags('', train.name),
    ...setFlags('held-out-', heldOut?.name),
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
    ['threads', threads],
  ];
  const words = flags.flatMap(([flag, value]) => {
    if (value === undefined || value === false) return [];
    return value === true ? [`--${flag}`] : [`--${flag}`, quote(String(value))];
  });
  return ['wisemerge finetune', ...words].join(' ');
}

/** A set opened from two files is named `features,labels`. */
function setFlags(prefix: string, name: string | undefined): [string, string | undefined][] {
  const [features, labels] = name?.split(',') ?? [];
  return [
    [`${prefix}features`, features],
    [`${prefix}labels`, labels],
  ];
}
