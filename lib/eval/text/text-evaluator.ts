import { type ModelSource, openCheckpoint } from '../../checkpoint/checkpoint.js';
import { WisemergeError } from '../../errors.js';
import type { EvaluatedSet, PointEvaluator, SetEvaluation } from '../evaluator.js';
import { modelIdentity } from '../model-identity.js';
import { NetworkModel, type NetworkPoint } from '../network.js';
import type { NetworkDevice } from '../network-device.js';
import { openChoiceSet } from './choices.js';
import { openPerplexitySet } from './perplexity.js';
import { sequenceLosses } from './sequence-losses.js';
import type { TextSet, TextSource } from './text-set.js';
import { TextTokenizer } from './tokenizer.js';

export interface TextEvaluatorOptions extends NetworkDevice {
  /** θ₀ and θ₁: decoders; config.json and tokenizer.json are those of the first. */
  readonly zeroshot: ModelSource;
  /** Without it there is one model, at alpha 0. */
  readonly finetuned?: ModelSource;
  readonly sets: readonly TextSource[];
  /** CPU threads; results do not depend on them. Default: all. */
  readonly threads?: number;
  readonly signal?: AbortSignal;
}

const mostContext = 1024;
/** Tokens of all candidates together that activations are held for, and candidates at most. */
const [passTokens, mostCandidates] = [16384, 64];

/**
 * Evaluates the models between two decoders on text: an `Evaluator` for a sweep. Interpolated weights exist one
 * operation at a time, logits a slice of the vocabulary at a time (kHeadLosses in native/include/wisemerge/operations.h).
 */
export class TextEvaluator implements PointEvaluator {
  readonly sets: readonly EvaluatedSet[];
  readonly identity: unknown;
  /** As many alphas as one sequence of the longest length allows. */
  readonly batch: number;
  readonly calls = 1;
  readonly #model: NetworkModel;
  readonly #sets: readonly TextSet[];

  private constructor(model: NetworkModel, sets: readonly TextSet[], identity: unknown) {
    this.#model = model;
    this.#sets = sets;
    this.sets = sets.map(({ set }) => set);
    this.identity = identity;
    const longest = sets.reduce(
      (most, { sequences }) => sequences.reduce((m, { ids }) => Math.max(m, ids.length), most),
      1,
    );
    this.batch = Math.min(mostCandidates, Math.max(1, Math.floor(passTokens / longest)));
  }

  /**
   * Opens both models by their headers and turns all text into tokens. Throws as `NetworkModel.open`, ERR_CONFIG (no
   * decoder, no tokenizer), ERR_DATA, ERR_DATA_MISMATCH, ERR_IO.
   */
  static async open(options: TextEvaluatorOptions): Promise<TextEvaluator> {
    const { zeroshot, finetuned, sets, signal } = options;
    const model = await NetworkModel.open(zeroshot, finetuned, options);
    const opening = { ...(signal && { signal }) };
    try {
      await using first = await openCheckpoint(zeroshot, opening);
      await using second = finetuned === undefined ? undefined : await openCheckpoint(finetuned, opening);
      const { name, losses, longest = mostContext } = model.architecture;
      if (!losses) throw model.noDecoder();
      const tokenizer = await TextTokenizer.open(first);
      const opened: TextSet[] = [];
      for (const source of sets) {
        signal?.throwIfAborted();
        opened.push(await openTextSet(source, Math.min(longest, mostContext), tokenizer));
      }
      return new TextEvaluator(model, opened, {
        network: name,
        tokenizer: tokenizer.hash,
        zeroshot: modelIdentity(first),
        ...(second && { finetuned: modelIdentity(second) }),
      });
    } catch (error) {
      await model[Symbol.asyncDispose]();
      throw error;
    }
  }

  get tensors(): readonly string[] {
    return this.#model.differing;
  }

  /** `result[k][s]` is alpha k on set s. One call at a time. Rejects with the signal's reason, or as `NetworkModel`. */
  async evaluate(alphas: readonly NetworkPoint[], signal?: AbortSignal): Promise<SetEvaluation[][]> {
    const bySet: SetEvaluation[][] = [];
    for (const set of this.#sets) {
      const losses = await sequenceLosses(this.#model, set.sequences, alphas, signal);
      bySet.push(losses.map((sums) => set.evaluate(sums)));
    }
    return alphas.map((_, k) => bySet.map((evaluations) => evaluations[k]!));
  }

  async close(): Promise<void> {
    await this.#model[Symbol.asyncDispose]();
  }
}

async function openTextSet(
  source: TextSource,
  usualContext: number,
  tokenizer: TextTokenizer,
): Promise<TextSet> {
  const { name, task = 'perplexity', context = usualContext, stride = Math.ceil(context / 2) } = source;
  if (task === 'choices') return await openChoiceSet({ ...source, context }, tokenizer);
  if (stride >= context) {
    throw new WisemergeError(
      'ERR_USAGE',
      `set ${name}: a stride of ${stride} leaves no context in windows of ${context} tokens`,
      { hint: 'Give a stride below the context; half of it is usual.' },
    );
  }
  return await openPerplexitySet({ ...source, context, stride }, tokenizer);
}
