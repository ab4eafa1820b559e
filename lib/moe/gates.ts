import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { toFloats } from '../checkpoint/to-floats.js';
import { WisemergeError } from '../errors.js';
import { NetworkModel } from '../eval/network.js';
import { hidden as hiddenName } from '../eval/programs/llama.js';
import type { TextTokenizer } from '../eval/text/tokenizer.js';
import { formatModelReference } from '../merge/config/model-reference.js';
import type { ExpertConfig } from './config.js';
import type { ResolvedMoe } from './resolve.js';

/** The vector of each layer's router that stands for an expert: [layer][hidden]. */
export type GateVectors = readonly Float64Array[];

/** Vectors shorter than this come from prompts that cancel out. */
const shortest = 1e-8;

/**
 * Vectors of the routers from prompts: of each prompt the mean over its tokens, of these the mean over the positive
 * prompts less that over the negative ones, of length 1. `hidden`: of what the base model's layers begin with;
 * `cheap_embed`: of the tokens' embeddings, the same for all layers. An expert without prompts has zeros.
 *
 * Throws ERR_DATA for prompts that cancel out or have no tokens, and as `NetworkModel`.
 */
export async function promptGates(
  { base, config, layers, hidden }: ResolvedMoe,
  tokenizer: TextTokenizer,
  options: { readonly threads?: number; readonly signal?: AbortSignal; readonly onPrompt?: () => void },
): Promise<GateVectors[]> {
  const experts = [...config.experts, ...config.shared];
  const { onPrompt, ...opening } = options;
  await using source =
    config.gateMode === 'hidden'
      ? await HiddenStates.open(base, layers, hidden, opening)
      : await Embeddings.open(base, layers, hidden);
  const gates: GateVectors[] = [];
  for (const expert of experts) {
    const mean = async (prompts: readonly string[]): Promise<Float64Array[]> => {
      const sums = Array.from({ length: layers }, () => new Float64Array(hidden));
      for (const prompt of prompts) {
        options.signal?.throwIfAborted();
        const ids = Int32Array.from(tokenizer.encode(prompt));
        if (ids.length === 0) throw unusable(expert, `the prompt ${JSON.stringify(prompt)} has no tokens`);
        const states = await source.means(ids);
        for (const [l, sum] of sums.entries()) {
          for (let j = 0; j < hidden; j++) sum[j]! += states[l]![j]! / prompts.length;
        }
        onPrompt?.();
      }
      return sums;
    };
    const [positive, negative] = [await mean(expert.positive), await mean(expert.negative)];
    gates.push(positive.map((sum, l) => direction(sum, negative[l]!, expert, l)));
  }
  return gates;
}

function direction(
  positive: Float64Array,
  negative: Float64Array,
  expert: ExpertConfig,
  layer: number,
): Float64Array {
  if (expert.positive.length === 0) return positive;
  const vector = positive.map((value, j) => value - negative[j]!);
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  if (!(length > shortest)) {
    const why = Number.isNaN(length) ? 'are not numbers' : 'cancel out';
    throw unusable(expert, `the hidden states of its prompts ${why} in layer ${layer}`);
  }
  return vector.map((value) => value / length);
}

function unusable({ model, place }: ExpertConfig, why: string): WisemergeError {
  return new WisemergeError(
    'ERR_DATA',
    `expert ${formatModelReference(model)} in line ${place.line}: ${why}`,
    { file: model.model.path, hint: 'Give other prompts, or gate_mode random.' },
  );
}

/** Runs the base model on one prompt after the other. */
class HiddenStates implements AsyncDisposable {
  readonly #model: NetworkModel;
  readonly #layers: number;
  readonly #hidden: number;
  readonly #signal: AbortSignal | undefined;

  private constructor(model: NetworkModel, layers: number, hidden: number, signal: AbortSignal | undefined) {
    this.#model = model;
    this.#layers = layers;
    this.#hidden = hidden;
    this.#signal = signal;
  }

  static async open(
    { path }: Checkpoint,
    layers: number,
    hidden: number,
    options: { readonly threads?: number; readonly signal?: AbortSignal },
  ): Promise<HiddenStates> {
    const model = await NetworkModel.open(path, undefined, options);
    return new HiddenStates(model, layers, hidden, options.signal);
  }

  async means(ids: Int32Array): Promise<Float64Array[]> {
    const names = Array.from({ length: this.#layers }, (_, i) => hiddenName(i));
    const input = {
      dtype: 'I32' as const,
      shape: [1, ids.length],
      data: new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength),
    };
    const [outputs] = await this.#model.forward(new Map([['input_ids', input]]), [0], {
      outputs: names,
      ...(this.#signal && { signal: this.#signal }),
    });
    return names.map((name) => {
      const { data } = outputs!.get(name)!;
      const mean = new Float64Array(this.#hidden);
      for (let at = 0; at < data.length; at++) mean[at % this.#hidden]! += data[at]! / ids.length;
      return mean;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#model[Symbol.asyncDispose]();
  }
}

/** Looks tokens up. */
class Embeddings implements AsyncDisposable {
  readonly #base: Checkpoint;
  readonly #layers: number;
  readonly #hidden: number;

  private constructor(base: Checkpoint, layers: number, hidden: number) {
    this.#base = base;
    this.#layers = layers;
    this.#hidden = hidden;
  }

  static async open(base: Checkpoint, layers: number, hidden: number): Promise<Embeddings> {
    return new Embeddings(base, layers, hidden);
  }

  async means(ids: Int32Array): Promise<Float64Array[]> {
    const name = 'model.embed_tokens.weight';
    const { shape, dtype, bytes } = this.#base.tensors.get(name)!;
    const row = bytes / shape[0]!;
    const mean = new Float64Array(this.#hidden);
    for (const id of ids) {
      if (id >= shape[0]!) {
        throw new WisemergeError('ERR_TOKENIZER', `token ${id} is beyond the ${shape[0]} rows of "${name}"`, {
          tensor: name,
          file: this.#base.path,
          hint: 'Give a base model whose tokenizer and embeddings belong together.',
        });
      }
      const stored = await this.#base.readTensorRange(name, id * row, row);
      for (const [j, value] of toFloats(stored, dtype, name).entries()) mean[j]! += value / ids.length;
    }
    return Array.from({ length: this.#layers }, () => mean);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#base.close();
  }
}
