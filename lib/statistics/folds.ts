import { WisemergeError } from '../errors.js';
import { maxRepeats } from './limits.js';
import { Random } from './random.js';

/** Folds where no number is given. */
const usualFolds = 5;

export interface FoldOptions {
  /** Number of folds, 2 to 255. */
  readonly folds: number;
  /** Independent partitions, at most 1000. Default 1. */
  readonly repeats?: number;
  readonly seed: number;
  /** Partitions of one seed and different streams are independent: one stream per set. Default 0. */
  readonly stream?: number;
  /** Class per sample: every class is spread evenly. Default: all samples are of one class. */
  readonly labels?: ArrayLike<number>;
  /** Group per sample (video, patient, site): the samples of a group share a fold. */
  readonly groups?: ArrayLike<number>;
}

/** A set to be split: what a partition keeps together are its groups, or else its samples. */
export interface SplitShape {
  readonly name: string;
  readonly samples: number;
  readonly groups?: ArrayLike<number>;
}

/** How many folds there are to be. */
export interface FoldCount {
  /** Null where the sets cannot be split as asked, or not at all. */
  readonly folds: number | null;
  /** Why there are none, or fewer than usual; null where there is nothing to say. */
  readonly reason: string | null;
}

/** The folds asked for, or by default 5, or as many as the smallest of the sets has groups or samples. */
export function foldsOf(sets: readonly SplitShape[], asked?: number): FoldCount {
  const { set, count, what } = fewestUnits(sets);
  const reason = `set ${set} has ${count} ${what}`;
  if (count < 2 || (asked !== undefined && asked > count)) return { folds: null, reason };
  if (asked !== undefined || count >= usualFolds) return { folds: asked ?? usualFolds, reason: null };
  return { folds: count, reason };
}

/** What there is to say of folds that were asked for, or not, as a sentence. */
export function foldNote({ folds, reason }: FoldCount, asked: number | undefined): string | null {
  if (reason === null) return null;
  if (folds !== null) return `${folds} folds instead of ${usualFolds}: ${reason}.`;
  return `There is no cross-validation${asked === undefined ? '' : ` in ${asked} folds`}: ${reason}.`;
}

/** Throws ERR_USAGE where the folds asked for cannot be made; sets of an unknown number of samples pass. */
export function checkFolds(sets: readonly SplitShape[], asked: number | undefined): void {
  const known = sets.filter(({ samples, groups }) => samples > 0 || groups !== undefined);
  if (asked === undefined || known.length === 0) return;
  const { folds, reason } = foldsOf(known, asked);
  if (folds !== null) return;
  const { count } = fewestUnits(known);
  throw new WisemergeError('ERR_USAGE', `${asked} folds were asked for, but ${reason}`, {
    hint:
      count < 2
        ? 'Leave folds out: there is no cross-validation then.'
        : `Ask for at most ${count} folds, or leave folds out.`,
  });
}

/** The set that can be split into the fewest parts. */
function fewestUnits(sets: readonly SplitShape[]) {
  const units = sets.map(({ name, samples, groups }) => {
    const count = groups ? new Set(Array.from(groups)).size : samples;
    const what = groups ? 'group' : 'sample';
    return { set: name, count, what: count === 1 ? what : `${what}s` };
  });
  return units.reduce((least, next) => (next.count < least.count ? next : least));
}

/**
 * Stratified K-fold partitions of `samples` samples: per repeat, the fold of each sample, 0 .. folds - 1.
 * Without groups, the folds' sizes, and their counts of every class, differ by at most one. With groups, the
 * groups are placed greedily, largest first, where their classes are scarcest. Throws ERR_USAGE where there
 * are fewer samples or groups than folds, ERR_DATA_MISMATCH where labels or groups have another length.
 */
export function stratifiedFolds(samples: number, options: FoldOptions): Uint8Array[] {
  const partition = partitioner(samples, options);
  return Array.from({ length: options.repeats ?? 1 }, (_, repeat) => partition(repeat));
}

/** The same partitions one by one, each made when it is asked for. Throws at once, as `stratifiedFolds`. */
export function partitioner(samples: number, options: FoldOptions): (repeat: number) => Uint8Array {
  const { folds, repeats = 1, seed, stream = 0, labels, groups } = options;
  if (!(Number.isSafeInteger(folds) && folds >= 2 && folds <= 255))
    throw new WisemergeError('ERR_USAGE', `folds: ${folds} is not a whole number from 2 to 255`);
  if (!(Number.isSafeInteger(repeats) && repeats >= 1 && repeats <= maxRepeats))
    throw new WisemergeError(
      'ERR_USAGE',
      `repeats: ${repeats} is not a whole number from 1 to ${maxRepeats}`,
    );
  const generator = (repeat: number): Random => new Random(seed, stream * maxRepeats + repeat);
  for (const [name, values] of Object.entries({ labels, groups })) {
    if (values && values.length !== samples)
      throw new WisemergeError('ERR_DATA_MISMATCH', `${values.length} ${name} for ${samples} samples`);
  }
  const classes = codes(labels, samples);
  if (!groups) {
    tooFew('samples', samples, folds);
    return (repeat) => spread(classes, folds, generator(repeat));
  }
  const grouped = groupClasses(codes(groups, samples), classes);
  tooFew('groups', grouped.members.length, folds);
  return (repeat) => place(grouped, classes, folds, generator(repeat));
}

function tooFew(what: string, count: number, folds: number): void {
  if (count < folds)
    throw new WisemergeError('ERR_USAGE', `${folds} folds of ${count} ${what}`, {
      hint: `Ask for at most ${count} folds.`,
    });
}

/** Values as numbers 0, 1, … in order of first appearance. */
function codes(values: ArrayLike<number> | undefined, samples: number): Uint32Array {
  const known = new Map<number, number>();
  const result = new Uint32Array(samples);
  if (!values) return result;
  for (let i = 0; i < samples; i++) {
    const value = values[i]!;
    let code = known.get(value);
    if (code === undefined) {
      code = known.size;
      known.set(value, code);
    }
    result[i] = code;
  }
  return result;
}

function largestCode(values: Uint32Array): number {
  let largest = -1;
  for (const value of values) if (value > largest) largest = value;
  return largest;
}

/** Deals the shuffled samples out to the folds in turn, class after class. */
function spread(classes: Uint32Array, folds: number, random: Random): Uint8Array {
  const order = shuffledOrder(classes.length, random);
  const starts = new Uint32Array(largestCode(classes) + 2);
  for (const label of classes) starts[label + 1]!++;
  for (let c = 1; c < starts.length; c++) starts[c]! += starts[c - 1]!;
  // Which folds get the odd samples of a class is random too.
  const names = shuffledOrder(folds, random);
  const fold = new Uint8Array(classes.length);
  for (const sample of order) fold[sample] = names[starts[classes[sample]!]!++ % folds]!;
  return fold;
}

interface GroupedClasses {
  /** Per group, its samples. */
  readonly members: readonly number[][];
  /** Per group, how many samples of each of its classes. */
  readonly counts: readonly Map<number, number>[];
}

function groupClasses(groups: Uint32Array, classes: Uint32Array): GroupedClasses {
  const length = largestCode(groups) + 1;
  const members = Array.from({ length }, (): number[] => []);
  const counts = Array.from({ length }, () => new Map<number, number>());
  for (const [sample, group] of groups.entries()) {
    members[group]!.push(sample);
    const label = classes[sample]!;
    counts[group]!.set(label, (counts[group]!.get(label) ?? 0) + 1);
  }
  return { members, counts };
}

function place(
  { members, counts }: GroupedClasses,
  classes: Uint32Array,
  folds: number,
  random: Random,
): Uint8Array {
  const classCount = largestCode(classes) + 1;
  const classSizes = new Uint32Array(classCount);
  for (const label of classes) classSizes[label]!++;
  const placed = new Float64Array(folds * classCount);
  const sizes = new Uint32Array(folds);
  const fold = new Uint8Array(classes.length);
  const order = [...shuffledOrder(members.length, random)];
  order.sort((a, b) => members[b]!.length - members[a]!.length);
  for (const [rank, group] of order.entries()) {
    // The first groups go to a fold each, so that none stays empty.
    let best = rank;
    if (rank >= folds) {
      best = 0;
      let least = Number.POSITIVE_INFINITY;
      for (let f = 0; f < folds; f++) {
        // The growth of the sum of squares of the shares of classes in folds, but for a constant.
        let cost = 0;
        for (const [label, count] of counts[group]!)
          cost += (count * placed[f * classCount + label]!) / classSizes[label]! ** 2;
        if (cost < least || (cost === least && sizes[f]! < sizes[best]!)) {
          best = f;
          least = cost;
        }
      }
    }
    for (const [label, count] of counts[group]!) placed[best * classCount + label]! += count;
    sizes[best]! += members[group]!.length;
    for (const sample of members[group]!) fold[sample] = best;
  }
  return fold;
}

function shuffledOrder(count: number, random: Random): Uint32Array {
  return random.shuffle(Uint32Array.from({ length: count }, (_, i) => i));
}
