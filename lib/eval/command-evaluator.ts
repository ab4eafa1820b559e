import { spawn } from 'node:child_process';
import { WisemergeError } from '../errors.js';
import { merge } from '../merge/merge.js';
import { planMerge } from '../merge/plan.js';
import { refusal } from '../merge/problems.js';
import { onAbort } from '../on-abort.js';
import { Candidates } from './candidates.js';
import type { EvaluatedSet, Evaluator, SetEvaluation } from './evaluator.js';
import { type EvaluatedModel, evaluationsOf, labelOf, type ModelSets } from './function-evaluator.js';
import { modelIdentities } from './model-identity.js';
import { openNamedSet } from './set-files.js';

export interface CommandModels extends ModelSets {
  /** Program and arguments; `{model}` and `{alpha}` in them are replaced. */
  readonly command: readonly string[];
  /** Models go to `out/candidates/`, and are deleted when they have been evaluated. */
  readonly out: string;
  /** Keep them. */
  readonly keep?: boolean;
}

const outputLimit = 64 * 2 ** 20;
const errorTail = 2000;
/** Between asking a command to stop and killing it. */
const graceMs = 5000;

/**
 * Evaluation by a program: the model is written as `merge` does, the command runs on it, and the last line of
 * its output is JSON, `{"set": 0.83}` or `{"set": {"correct": [1, 0, …]}}`.
 */
export class CommandEvaluator implements Evaluator {
  readonly sets: readonly EvaluatedSet[];
  readonly identity: unknown;
  readonly batch = 1;
  readonly calls = Number.POSITIVE_INFINITY;
  readonly #models: CommandModels;
  readonly #candidates: Candidates;

  private constructor(models: CommandModels, sets: readonly EvaluatedSet[], identities: readonly unknown[]) {
    this.#models = models;
    this.#candidates = candidatesOf(models);
    this.sets = sets;
    this.identity = { command: models.command, models: identities };
  }

  /** Rejects with ERR_INCOMPATIBLE, ERR_DATA, and what opening a checkpoint throws. */
  static async open(models: CommandModels, signal?: AbortSignal): Promise<CommandEvaluator> {
    const { zeroshot, finetuned, classNames } = models;
    const sets = await Promise.all(models.sets.map((set) => openNamedSet(set, classNames)));
    const plan = await planMerge({
      zeroshot,
      finetuned,
      alpha: 0,
      out: candidatesOf(models).pathOf('alpha'),
      ...(signal && { signal }),
    });
    if (plan.problems.length > 0) throw refusal(plan.problems);
    return new CommandEvaluator(models, sets, await modelIdentities([zeroshot, finetuned]));
  }

  async evaluate(alphas: readonly number[], signal?: AbortSignal): Promise<SetEvaluation[][]> {
    const evaluations: SetEvaluation[][] = [];
    for (const alpha of alphas) evaluations.push(await this.#evaluateOne(alpha, signal));
    return evaluations;
  }

  async #evaluateOne(alpha: number, signal: AbortSignal | undefined): Promise<SetEvaluation[]> {
    const { zeroshot, finetuned, command, threads } = this.#models;
    const replaced = command.map((part) => part.replaceAll('{alpha}', String(alpha)));
    return await this.#candidates.evaluate(
      `alpha_${alpha}`,
      (out) =>
        merge({
          ...{ zeroshot, finetuned, alpha, out, force: true, extrapolate: true },
          ...(threads !== undefined && { threads }),
          ...(signal && { signal }),
        }),
      (model) => evaluateByCommand(replaced, model, alpha, this.sets, signal),
    );
  }

  async close(): Promise<void> {}
}

const candidatesOf = ({ out, keep = false }: CommandModels): Candidates => new Candidates(out, keep);

/** Runs a command on a model's directory, `{model}` in its arguments. `what` is evaluated, in messages. Throws ERR_EVALUATION. */
export async function evaluateByCommand(
  command: readonly string[],
  model: string,
  what: EvaluatedModel,
  sets: readonly EvaluatedSet[],
  signal: AbortSignal | undefined,
): Promise<SetEvaluation[]> {
  const output = await run(
    command.map((part) => part.replaceAll('{model}', model)),
    what,
    signal,
  );
  return evaluationsOf(what, sets, lastLine(output, what, command));
}

/** Gives what the command prints. Rejects with ERR_EVALUATION where it fails, or with the abort reason. */
async function run(
  [program, ...args]: readonly string[],
  what: EvaluatedModel,
  signal: AbortSignal | undefined,
): Promise<string> {
  signal?.throwIfAborted();
  // A group of its own, so that what the command has started ends with it.
  const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const kill = (signalName: NodeJS.Signals) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signalName);
    } catch {
      // It has ended.
    }
  };
  let output = '';
  let errors = '';
  let tooLong = false;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    if (output.length > outputLimit) {
      tooLong = true;
      kill('SIGKILL');
    }
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-errorTail);
  });
  const settled = onAbort(signal, () => {
    kill('SIGTERM');
    setTimeout(() => kill('SIGKILL'), graceMs).unref();
  });
  try {
    const ended = await new Promise<string>((resolve, reject) => {
      child.once('error', (error) => reject(failed(what, `cannot start ${program}: ${error.message}`, '')));
      child.once('close', (code, killedBy) =>
        resolve(code === 0 ? '' : code === null ? `was ended by ${killedBy}` : `ended with status ${code}`),
      );
    });
    signal?.throwIfAborted();
    if (tooLong) throw failed(what, `${program} printed more than ${outputLimit} characters`, '');
    if (ended !== '') throw failed(what, `${program} ${ended}`, errors);
    return output;
  } finally {
    settled();
  }
}

function lastLine(output: string, what: EvaluatedModel, [program]: readonly string[]): unknown {
  const line = output.trimEnd().split('\n').at(-1) ?? '';
  try {
    return JSON.parse(line);
  } catch {
    throw failed(what, `the last line that ${program} printed is not JSON: ${line.slice(0, 200)}`, '');
  }
}

function failed(model: EvaluatedModel, why: string, errors: string): WisemergeError {
  const said = errors.trim();
  const example = typeof model === 'number' ? 'the zero-shot model' : 'one of the models';
  return new WisemergeError('ERR_EVALUATION', `${labelOf(model)}: ${why}${said ? `\n${said}` : ''}`, {
    hint: `Run the command by hand on ${example} to see what it does.`,
    ...(typeof model === 'number' && { details: { alpha: model } }),
  });
}
