import { existsSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ioError, WisemergeError } from '../errors.js';
import type { SetKind, SetRole } from '../eval/data/evaluation-set.js';
import type { LikelihoodOptimum } from '../eval/likelihood.js';
import type { Approximation } from '../eval/logit-path.js';
import type { Metrics } from '../eval/metrics.js';
import type { OutputComparison } from '../eval/output-comparison.js';
import { readTextFile } from '../files/read-whole.js';
import { syncHandle } from '../files/sync-handle.js';
import { checkOptions, text as nonEmpty } from '../merge/option-checks.js';
import type { Precision } from '../precision.js';
import type { Analysis } from '../selection/analysis.js';
import type { Divergence } from './divergence.js';
import type { LayerOutcome } from './layer-sweep.js';
import type { ShiftRobustness } from './references.js';
import type { ResolvedSweep } from './sweep-options.js';

export const resultName = 'sweep.json';
export const recordsName = 'results.jsonl';

export interface SweptSet {
  readonly name: string;
  readonly role: SetRole;
  readonly kind: SetKind;
  readonly samples: number;
  /** Of features, labels and groups. */
  readonly fingerprint: string;
  /** File with the outcome of every sample, relative to the sweep's directory; null for scores alone. */
  readonly outcome: string | null;
  /** At each alpha of the sweep. */
  readonly metrics: readonly SetMetrics[];
  /** Where outputs were interpolated (`search: chebyshev`). */
  readonly approximation?: Approximation;
}

/** `top1` is the accuracy, or the score that an evaluator gave in its place. */
export type SetMetrics = Pick<Metrics, 'top1'> & Partial<Metrics>;

/** `sweep.json`. The same inputs and options give the same bytes, but for `seconds`. */
export interface SweepResult {
  readonly format: 'wisemerge-sweep';
  readonly version: 1;
  /** Version of wisemerge. */
  readonly wisemerge: string;
  readonly config: ResolvedSweep;
  /** Null where whole models were evaluated. */
  readonly head: {
    readonly name: string;
    readonly classes: number;
    readonly dimension: number;
    readonly dtype: string;
    /** XXH3-64 of both weights and biases, 16 hex digits. */
    readonly hash: string;
    /** Of the logits. */
    readonly precision: Precision;
  } | null;
  /** Ascending: all that were evaluated. */
  readonly alphas: readonly number[];
  readonly sets: readonly SweptSet[];
  /**
   * Smallest negative log-likelihood over the select sets, at any alpha from the lowest to the highest of `alphas`:
   * alone and calibrated. For heads with metrics.
   */
  readonly likelihood: { readonly alpha: LikelihoodOptimum; readonly calibrated: LikelihoodOptimum } | null;
  /** At the chosen alpha, per set: confidence, overrides, ensembles of outputs. Only a head with metrics has logits. */
  readonly outputs?: readonly OutputComparison[];
  /** Alphas by layer, around the best single one (`search: layers`, `linear`). */
  readonly layers?: LayerOutcome;
  /** By shift, where there are reference models. */
  readonly robustness?: readonly ShiftRobustness[];
  /** How far the checkpoints are apart, by layer; absent with `divergence: false`. */
  readonly divergence?: Divergence;
  readonly analysis: Analysis;
  /** Wall time of all runs that made it. */
  readonly seconds: number;
}

/** Writes `sweep.json` and `results.jsonl`, each complete or not at all. Throws ERR_INTERNAL, ERR_IO, ERR_NO_SPACE. */
export async function writeResult(directory: string, result: SweepResult): Promise<void> {
  requireFinite(result);
  await replaceFile(join(directory, recordsName), recordsOf(result));
  await replaceFile(join(directory, resultName), `${JSON.stringify(result, null, 2)}\n`);
}

/** Throws ERR_USAGE for what is no path, ERR_SWEEP_RESULT, ERR_IO. */
export async function readResult(directory: string): Promise<SweepResult> {
  checkOptions({ directory }, { directory: nonEmpty }, ['directory']);
  const path = join(directory, resultName);
  const text = await readTextFile(path).catch((error) => {
    if (error.code !== 'ENOENT') throw ioError(error, 'read', path);
    if (!existsSync(directory)) {
      throw new WisemergeError('ERR_SWEEP_RESULT', `there is no directory ${directory}`, {
        file: directory,
        hint: 'Give the directory to which a sweep was written (--out of wisemerge sweep).',
      });
    }
    throw new WisemergeError(
      'ERR_SWEEP_RESULT',
      `${directory} holds no finished sweep: there is no ${resultName}`,
      {
        file: path,
        hint: 'Finish it with wisemerge sweep --resume.',
      },
    );
  });
  const refuse = (why: string, hint: string) =>
    new WisemergeError('ERR_SWEEP_RESULT', `${path} ${why}`, { file: path, hint });
  const again = 'Write it again with wisemerge sweep --resume: what was evaluated is in the journal.';
  let result: SweepResult;
  try {
    result = JSON.parse(text);
  } catch {
    throw refuse('is not JSON', again);
  }
  if (result?.format !== 'wisemerge-sweep' || result.version !== 1) {
    throw refuse(
      'is not a sweep that this version reads',
      'Name the directory to which a sweep was written (--out of wisemerge sweep).',
    );
  }
  const [{ resultSchema }, { describeIssue }] = await Promise.all([
    import('./result-schema.js'),
    import('./sweep-options.js'),
  ]);
  const [issue] = resultSchema.safeParse(result).error?.issues ?? [];
  if (issue) throw refuse(`is damaged: ${describeIssue(issue)}`, again);
  return result;
}

/** One line per alpha with `set:metric` keys, the record form of the WiSE-FT repository (`--results-db`). */
function recordsOf({ alphas, sets, config }: SweepResult): string {
  const lines = alphas.map((alpha, k) => {
    const scores = sets.flatMap(({ name, metrics }) => {
      const {
        groups: _groups,
        worstGroup,
        disagreement: _disagreement,
        samples: _samples,
        ...rest
      } = metrics[k]!;
      const named = Object.entries(rest).map(([metric, value]) => [`${name}:${metric}`, value] as const);
      return worstGroup ? [...named, [`${name}:worstGroup`, worstGroup.top1] as const] : named;
    });
    return { alpha, zeroshot: config.zeroshot, finetuned: config.finetuned, ...Object.fromEntries(scores) };
  });
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('');
}

/** JSON would write NaN and infinities as null, which readers take for a number. Throws ERR_INTERNAL naming the place. */
export function requireFinite(value: unknown, place: readonly string[] = []): void {
  if (typeof value === 'number' && !Number.isFinite(value))
    throw new WisemergeError('ERR_INTERNAL', `${place.join('.')} of the result is ${value}`);
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) requireFinite(inner, [...place, key]);
}

/** Complete or not at all. Throws ERR_IO, ERR_NO_SPACE. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.tmp`;
  try {
    await rm(temporary, { force: true });
    const handle = await open(temporary, 'wx');
    try {
      await handle.writeFile(text);
      await syncHandle(handle);
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    throw ioError(error, 'write', path);
  }
}
