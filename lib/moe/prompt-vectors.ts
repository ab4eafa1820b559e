import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { toFloats } from '../checkpoint/to-floats.js';
import { WisemergeError } from '../errors.js';
import { NetworkModel } from '../eval/network.js';
import { hidden as hiddenName } from '../eval/programs/llama.js';

/** What stands for a prompt in each layer. */
export interface PromptVectors extends AsyncDisposable {
  /** [layer][hidden]; `ids`: of one token at least. */
  of(ids: Int32Array): Promise<Float64Array[]>;
}

/** `device`: `cpu` unless it says another; the results are the same bits. */
export interface RunningOptions {
  readonly threads?: number;
  readonly device?: string;
  readonly signal?: AbortSignal;
}

/** Of a base model, its layers and the length of its hidden states. */
interface BaseModel {
  readonly base: Checkpoint;
  readonly layers: number;
  readonly hidden: number;
}

/** What the layers begin with: the base model runs on one prompt after the other. */
export class HiddenStates implements PromptVectors {
  readonly #model: NetworkModel;
  readonly #layers: number;
  readonly #hidden: number;
  readonly #which: 'last' | 'mean';
  readonly #signal: AbortSignal | undefined;

  private constructor(
    model: NetworkModel,
    { layers, hidden }: BaseModel,
    which: 'last' | 'mean',
    signal: AbortSignal | undefined,
  ) {
    this.#model = model;
    this.#layers = layers;
    this.#hidden = hidden;
    this.#which = which;
    this.#signal = signal;
  }

  /** `which`: of the last token, or the mean over all. Throws as `NetworkModel`. */
  static async open(
    source: BaseModel,
    which: 'last' | 'mean',
    options: RunningOptions,
  ): Promise<HiddenStates> {
    const model = await NetworkModel.open(source.base.path, undefined, options);
    return new HiddenStates(model, source, which, options.signal);
  }

  async of(ids: Int32Array): Promise<Float64Array[]> {
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
      if (this.#which === 'last') return Float64Array.from(data.subarray(data.length - this.#hidden));
      const mean = new Float64Array(this.#hidden);
      for (let at = 0; at < data.length; at++) mean[at % this.#hidden]! += data[at]! / ids.length;
      return mean;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#model[Symbol.asyncDispose]();
  }
}

/** The sum of the tokens' embeddings, the same in all layers. Nothing is run. */
export class Embeddings implements PromptVectors {
  readonly #source: BaseModel;

  constructor(source: BaseModel) {
    this.#source = source;
  }

  async of(ids: Int32Array): Promise<Float64Array[]> {
    const { base, layers, hidden } = this.#source;
    const name = 'model.embed_tokens.weight';
    const { shape, dtype, bytes } = base.tensors.get(name)!;
    const row = bytes / shape[0]!;
    const sum = new Float64Array(hidden);
    for (const id of ids) {
      if (id >= shape[0]!) {
        throw new WisemergeError('ERR_TOKENIZER', `token ${id} is beyond the ${shape[0]} rows of "${name}"`, {
          tensor: name,
          file: base.path,
          hint: 'Give a base model whose tokenizer and embeddings belong together.',
        });
      }
      const stored = await base.readTensorRange(name, id * row, row);
      for (const [j, value] of toFloats(stored, dtype, name).entries()) sum[j]! += value;
    }
    return Array.from({ length: layers }, () => sum);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source.base.close();
  }
}
