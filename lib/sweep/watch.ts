import { appendFile, readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { beginCall, failOption } from '../call-options.js';
import { openCheckpoint } from '../checkpoint/checkpoint.js';
import { ioError, WisemergeError } from '../errors.js';
import { makeDirectory } from '../files/make-directory.js';
import { removeFile } from '../files/remove.js';
import { type Check, checkOptions, text, whole } from '../merge/option-checks.js';
import { ownCopy } from '../own-copy.js';
import { checkRunOptions } from './run-options.js';
import { type SweepOptions, sweep } from './sweep.js';

export interface WatchOptions extends Omit<SweepOptions, 'finetuned' | 'resume' | 'force'> {
  /** Directory in which fine-tuning leaves its checkpoints: directories or .safetensors files. */
  readonly watch: string;
  /** Checkpoints after which to end; default: when aborted. */
  readonly until?: number;
  /** Seconds between two looks; a checkpoint is complete when it has not changed in between. Default 5. */
  readonly interval?: number;
}

/** The alpha of one checkpoint of a fine-tuning run. */
export interface WatchedCheckpoint {
  /** Its name in the watched directory. */
  readonly checkpoint: string;
  readonly alpha: number;
  /** The accuracy that stands for the rule, there (`Selection.score`). */
  readonly score: number;
  /** Accuracy of every set, there. */
  readonly accuracy: Readonly<Record<string, number>>;
  /** Directory of its sweep. */
  readonly out: string;
  /** Whether its score is the highest so far; the earlier of equals stays. */
  readonly best: boolean;
}

export const watchName = 'watch.jsonl';

/** Node's timers fire at once for more than 2^31 - 1 milliseconds. */
const longest = 2_147_483;

const checks: { readonly [Option in 'watch' | 'until' | 'interval']: Check } = {
  watch: text,
  until: (value) => (value === Number.POSITIVE_INFINITY ? undefined : whole(1)(value)),
  interval: (value) =>
    typeof value === 'number' && value > 0 && value <= longest
      ? undefined
      : `must be a number of seconds above 0, at most ${longest}`,
};

/** Each checkpoint is a `finetuned` of its own, and has results of its own, which are gone on with. */
const ofOneSweep = ['finetuned', 'resume', 'force'];

/** Throws ERR_USAGE naming the option; those of each sweep are checked by `sweep`. */
function checkWatch(options: WatchOptions): void {
  const { watch, until, interval } = options;
  const other = ofOneSweep.find(
    (option) => (options as unknown as Record<string, unknown>)[option] !== undefined,
  );
  if (other !== undefined)
    failOption(other, 'is for one sweep, and a watch makes one for each checkpoint: leave it out');
  checkOptions({ watch, until, interval }, checks, ['watch']);
  checkRunOptions(options);
}

/**
 * Chooses alpha anew for each checkpoint of a fine-tuning run, as it appears: a sweep each, in `out/<checkpoint>`,
 * and a line in `out/watch.jsonl`. Checkpoints that are there already come first, in natural order; those whose
 * sweep is finished are not evaluated again. Throws what `sweep` throws, or the abort reason.
 */
export async function* watchSweep(options: WatchOptions): AsyncGenerator<WatchedCheckpoint, void, void> {
  using _call = beginCall(options);
  checkWatch(options);
  const { watch, until = Number.POSITIVE_INFINITY, interval = 5, out, ...given } = ownCopy(options);
  const { signal } = given;
  const directory = resolve(watch);
  const root = resolve(out);
  const log = join(root, watchName);
  await makeDirectory(root);
  await removeFile(log);
  const done = new Set<string>();
  let seen = new Map<string, string>();
  let highest = Number.NEGATIVE_INFINITY;
  while (done.size < until) {
    signal?.throwIfAborted();
    const states = await checkpointStates(directory, done);
    const settled = [...states].filter(([name, state]) => seen.get(name) === state).map(([name]) => name);
    seen = states;
    for (const checkpoint of settled.sort(naturalOrder).slice(0, until - done.size)) {
      const target = join(root, checkpoint);
      const finetuned = join(directory, checkpoint);
      const { alphas, sets, analysis } = await sweep({
        ...given,
        finetuned,
        out: target,
        resume: true,
      }).catch((error) => {
        throw withoutForce(error, target);
      });
      const { alpha, score } = analysis.selection;
      const at = alphas.indexOf(alpha);
      const best = score > highest;
      highest = Math.max(highest, score);
      const found: WatchedCheckpoint = {
        checkpoint,
        alpha,
        score,
        accuracy: Object.fromEntries(sets.map(({ name, metrics }) => [name, metrics[at]!.top1])),
        out: target,
        best,
      };
      await appendFile(log, `${JSON.stringify(found)}\n`).catch((error) => {
        throw ioError(error, 'write', log);
      });
      done.add(checkpoint);
      yield found;
    }
    if (done.size < until) await pause(interval, signal);
  }
}

/** An error of resuming, whose hint is to begin anew with what watching does not have. */
function withoutForce(error: unknown, target: string): unknown {
  if (!(error instanceof WisemergeError)) return error;
  const { code, message, file = target, details } = error;
  if (code !== 'ERR_SWEEP_CHANGED' && code !== 'ERR_SWEEP_RESULT') return error;
  const hint = `Use the options it was begun with, give another output directory (--out), or delete ${target} to start it again.`;
  return new WisemergeError(code, message, { file, hint, ...(details && { details }) });
}

/** Size and time of every file of every checkpoint that can be opened and is not done, by name. */
async function checkpointStates(directory: string, done: ReadonlySet<string>): Promise<Map<string, string>> {
  const names = await readdir(directory).catch((error) => {
    throw ioError(error, 'read', directory);
  });
  const states = new Map<string, string>();
  for (const name of names) {
    if (done.has(name) || name.startsWith('.')) continue;
    const state = await stateOf(join(directory, name));
    if (state !== undefined) states.set(name, state);
  }
  return states;
}

/** Undefined for what is no checkpoint, or not a whole one yet. */
async function stateOf(path: string): Promise<string | undefined> {
  try {
    const { files } = await openCheckpoint(path);
    const states = await Promise.all(
      files.map(async ({ path: file }) => {
        const { size, mtimeMs } = await stat(file);
        return `${file} ${size} ${mtimeMs}`;
      }),
    );
    return states.join('\n');
  } catch (error) {
    // Being written, renamed or deleted: the next look will tell.
    if (error instanceof WisemergeError || (error as NodeJS.ErrnoException).code === 'ENOENT')
      return undefined;
    throw error;
  }
}

async function pause(seconds: number, signal: AbortSignal | undefined): Promise<void> {
  await delay(seconds * 1000, undefined, signal && { signal }).catch((error) => {
    signal?.throwIfAborted();
    throw error;
  });
}

/** `epoch_9` before `epoch_10`. */
function naturalOrder(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}
