import { stat } from 'node:fs/promises';
import { type Checkpoint, openCheckpoint } from '../checkpoint/checkpoint.js';
import { AveragedCheckpoint, type Ingredient, openIngredients } from '../eval/averaged-checkpoint.js';
import { Candidates } from '../eval/candidates.js';
import { evaluateByCommand } from '../eval/command-evaluator.js';
import type { SetRole } from '../eval/data/evaluation-set.js';
import { findNetwork } from '../eval/dense-network.js';
import type { EvaluatedSet, SetEvaluation } from '../eval/evaluator.js';
import { evaluationsOf, type Score } from '../eval/function-evaluator.js';
import { ImageEvaluator } from '../eval/image-evaluator.js';
import { modelIdentities } from '../eval/model-identity.js';
import type { CandidateTensor } from '../eval/model-pair.js';
import { openNamedSet } from '../eval/set-files.js';
import { TextEvaluator } from '../eval/text/text-evaluator.js';
import { Engine } from '../native.js';
import { NetworkEvaluator } from '../train/network-evaluator.js';
import { openSets } from './open-sets.js';
import type { ResolvedSoup } from './soup-options.js';
import { hasText } from './text-sets.js';

/** A soup that a function evaluates. It exists in memory, a tensor at a time. */
export interface SoupCandidate {
  /** Paths of its models. */
  readonly models: readonly string[];
  readonly tensors: readonly CandidateTensor[];
  /** Bytes of a tensor, little-endian and in C order, in the dtype that `tensors` tells. */
  readTensor(name: string): Promise<Uint8Array>;
  /** Writes the soup to a directory. */
  save(directory: string): Promise<void>;
}

/** Gives a score for every set, by name. */
export type EvaluateSoup = (
  candidate: SoupCandidate,
  context: { readonly signal: AbortSignal | undefined },
) => Promise<Readonly<Record<string, Score>>>;

export interface SoupEvaluatorOptions {
  readonly soup: ResolvedSoup;
  readonly evaluate?: EvaluateSoup | undefined;
  /** Where soups are written for a command. */
  readonly out: string;
  /** Writes the mean of some models, by number. */
  readonly write: (members: readonly number[], directory: string, signal?: AbortSignal) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
}

/** Anything of `sweep` that evaluates the model it was opened with. */
interface Opened {
  readonly sets: readonly EvaluatedSet[];
  readonly evaluate: (signal?: AbortSignal) => Promise<readonly SetEvaluation[]>;
  readonly close: () => Promise<void>;
}

/**
 * Evaluates means of models: natively in memory, by a command on what is written for it, or by a function. One mean exists at a time,
 * in f32, however many models there are.
 */
export class SoupEvaluator {
  readonly #options: SoupEvaluatorOptions;
  readonly #ingredients: readonly Ingredient[];
  readonly #heads: readonly Ingredient[] | undefined;
  readonly #engine: Engine;
  readonly #candidates: Candidates;
  /** Of both roles. */
  readonly sets: readonly EvaluatedSet[];
  readonly identity: unknown;

  private constructor(
    options: SoupEvaluatorOptions,
    ingredients: readonly Ingredient[],
    heads: readonly Ingredient[] | undefined,
    engine: Engine,
    sets: readonly EvaluatedSet[],
    identity: unknown,
  ) {
    this.#options = options;
    this.#ingredients = ingredients;
    this.#heads = heads;
    this.#engine = engine;
    this.#candidates = new Candidates(options.out, options.soup.evaluation.keep);
    this.sets = sets;
    this.identity = identity;
  }

  /** Opens models and sets, so that whatever is wrong with them comes before any work. Rejects as the evaluators of `sweep`. */
  static async open(options: SoupEvaluatorOptions): Promise<SoupEvaluator> {
    const { soup, signal } = options;
    const opening = signal ? { signal } : {};
    const open = async (paths: readonly string[]) =>
      await openIngredients(await Promise.all(paths.map((path) => openCheckpoint(path, opening))));
    const ingredients = await open(soup.models);
    const heads = soup.heads && (await open(soup.heads));
    const { threads, command } = soup.evaluation;
    const engine = new Engine({ ...(threads !== undefined && { threads }) });
    try {
      const identity = {
        models: await modelIdentities(soup.models),
        ...(soup.heads && { heads: await modelIdentities(soup.heads) }),
        ...(command && { command }),
      };
      const unopened = new SoupEvaluator(options, ingredients, heads, engine, [], identity);
      const first = await unopened.#open([0], () => true);
      await first.close();
      return new SoupEvaluator(options, ingredients, heads, engine, first.sets, identity);
    } catch (error) {
      engine.close();
      throw error;
    }
  }

  setsOf(role: SetRole): EvaluatedSet[] {
    return this.sets.filter((set) => set.role === role);
  }

  /** The mean of some models, by number, on the sets of a role, in their order. */
  async evaluate(members: readonly number[], role: SetRole): Promise<readonly SetEvaluation[]> {
    const { signal, evaluate, soup, write } = this.#options;
    const { command } = soup.evaluation;
    const sets = this.setsOf(role);
    const what = nameOf(members);
    if (evaluate) {
      const checkpoint = this.#average(this.#ingredients, members);
      const tensors = [...checkpoint.tensors.values()];
      const candidate: SoupCandidate = {
        models: members.map((i) => soup.models[i]!),
        tensors: tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
        readTensor: (name) => checkpoint.readTensor(name),
        save: (directory) => write(members, directory, signal),
      };
      return evaluationsOf(what, sets, await evaluate(candidate, { signal }));
    }
    if (command) {
      const [first, ...more] = members.map((i) => soup.models[i]!);
      // One that is no directory is written, as in a sweep: a command always gets a directory.
      if (more.length === 0 && (await stat(first!)).isDirectory()) {
        return await evaluateByCommand(command, first!, what, sets, signal);
      }
      return await this.#candidates.evaluate(
        `soup_${members.join('_')}`,
        (directory) => write(members, directory, signal),
        (directory) => evaluateByCommand(command, directory, what, sets, signal),
      );
    }
    const opened = await this.#open(members, (set) => set.role === role);
    try {
      return await opened.evaluate(signal);
    } finally {
      await opened.close();
    }
  }

  #average(ingredients: readonly Ingredient[], members: readonly number[]): Checkpoint {
    const like = ingredients[0]!.checkpoint;
    return new AveragedCheckpoint(
      like,
      members.map((i) => ingredients[i]!),
      this.#engine,
    );
  }

  /** An evaluator of the mean of some models on some sets. */
  async #open(
    members: readonly number[],
    wanted: (set: { readonly role: SetRole }) => boolean,
  ): Promise<Opened> {
    const { soup, evaluate, signal } = this.#options;
    const { threads, head, activation, classNames, templates, command } = soup.evaluation;
    const config = { ...soup.evaluation, sets: soup.evaluation.sets.filter(wanted) };
    const model = this.#average(this.#ingredients, members);
    const common = {
      zeroshot: model,
      modelName: nameOf(members),
      ...(threads !== undefined && { threads }),
      ...(signal && { signal }),
    };
    if (evaluate || command) {
      const sets = await Promise.all(config.sets.map((set) => openNamedSet(set, classNames)));
      return { sets, evaluate: async () => [], close: async () => {} };
    }
    if (hasText(config.sets)) {
      const sets = config.sets.map((set) => ({ ...set, text: set.text! }));
      return opened(await TextEvaluator.open({ ...common, sets }));
    }
    if (config.sets.some(({ images }) => images !== undefined)) {
      const heads = this.#heads && this.#average(this.#heads, members);
      const evaluator = await ImageEvaluator.open({
        ...common,
        sets: config.sets.map(({ name, role, kind, images, labels, groups }) => ({
          ...{ name, role, kind, images: images! },
          ...(labels !== undefined && { labels }),
          ...(groups !== undefined && { groups }),
          ...(classNames && { classNames }),
        })),
        ...(heads && { heads: { zeroshot: heads, finetuned: heads } }),
        ...(templates && classNames && { prompts: { classNames, templates } }),
        ...(head !== undefined && { head }),
      });
      return opened(evaluator);
    }
    const given = { ...(activation && { activation }), ...(head !== undefined && { head }) };
    const { inputs, classes } = findNetwork(model, given);
    const sets = await openSets(config, { classes, dimension: inputs });
    const closeSets = async () => {
      await Promise.all(sets.map((set) => set.close()));
    };
    try {
      const evaluator = await NetworkEvaluator.open({ ...common, finetuned: model, sets, ...given });
      return opened(evaluator, closeSets);
    } catch (error) {
      await closeSets();
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#engine.close();
    for (const { checkpoint } of this.#ingredients) await checkpoint.close();
    for (const { checkpoint } of this.#heads ?? []) await checkpoint.close();
  }
}

const nameOf = (members: readonly number[]): string =>
  members.length === 1 ? `model ${members[0]}` : `soup of models ${members.join(', ')}`;

function opened(
  evaluator: {
    readonly sets: readonly EvaluatedSet[];
    evaluate(alphas: readonly number[], signal?: AbortSignal): Promise<readonly (readonly SetEvaluation[])[]>;
    close(): Promise<void>;
  },
  closeMore?: () => Promise<void>,
): Opened {
  return {
    sets: evaluator.sets,
    evaluate: async (signal) => (await evaluator.evaluate([0], signal))[0]!,
    close: async () => {
      await evaluator.close();
      await closeMore?.();
    },
  };
}
