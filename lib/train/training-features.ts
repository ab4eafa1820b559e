import { beginCall } from '../call-options.js';
import { openEvaluationSet } from '../eval/data/evaluation-set.js';
import { type Check, checkOptions, names, text } from '../merge/option-checks.js';
import { ownCopy } from '../own-copy.js';
import type { TrainingSet } from './options.js';

/** Files of a set to train on. Paths are `file` or `file:member`. */
export interface TrainingFeaturesOptions {
  /** [N, D] features or [N, channels, height, width] pictures: .npy, .npz or .safetensors. */
  readonly features: string;
  /** [N], class indices or names: also .csv, .jsonl or .parquet. */
  readonly labels: string;
  /** Names of the classes in the head's order, for labels given as text. */
  readonly classNames?: readonly string[];
  readonly signal?: AbortSignal;
}

/** Features in files, as a set to train on. */
export interface TrainingFeatures extends TrainingSet {
  close(): Promise<void>;
}

const checks: { readonly [Option in keyof Required<Omit<TrainingFeaturesOptions, 'signal'>>]: Check } = {
  features: text,
  labels: text,
  classNames: names,
};

/**
 * Opens features and labels, checked but for the elements of the features, which are read when they are trained on. Its name is
 * that of its files, by which the command that is recorded names it.
 *
 * Throws ERR_USAGE naming the option, and ERR_IO, ERR_DATA, ERR_DATA_MISMATCH or ERR_SAFETENSORS_* with everything that is
 * wrong with the files in `details.problems`.
 */
export async function openTrainingFeatures(options: TrainingFeaturesOptions): Promise<TrainingFeatures> {
  using _call = beginCall(options);
  const { signal: _signal, ...source } = ownCopy(options);
  checkOptions(source, checks, ['features', 'labels']);
  const name = `${source.features},${source.labels}`;
  return await openEvaluationSet({ ...source, name, role: 'select', kind: 'id' }, { pictures: true });
}
