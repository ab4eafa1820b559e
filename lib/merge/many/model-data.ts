import { type Checkpoint, openCheckpoint } from '../../checkpoint/checkpoint.js';
import type { TensorInfo } from '../../checkpoint/tensor.js';
import type { WeightFile } from '../../checkpoint/weight-file.js';
import { WisemergeError } from '../../errors.js';
import type { ModelReference } from '../config/model-reference.js';
import { type LoraAdapter, type LoraAddend, openLoraAdapter } from '../lora/adapter.js';

/** Where a tensor of a model is read, and what is added to it on the way. */
export interface TensorSource {
  readonly tensor: TensorInfo;
  readonly addend?: LoraAddend;
}

/** A model as a merge reads it: a checkpoint, with an adapter applied or some tensors replaced. */
export class ModelData {
  readonly checkpoint: Checkpoint;
  readonly #adapter: LoraAdapter | undefined;
  readonly #replaced = new Map<string, TensorInfo>();
  readonly #extraFiles: WeightFile[] = [];

  private constructor(checkpoint: Checkpoint, adapter: LoraAdapter | undefined) {
    this.checkpoint = checkpoint;
    this.#adapter = adapter;
  }

  /** `checkpoint`: of the reference's model, where it is open. Throws what opening does, ERR_ADAPTER. */
  static async open(
    { model, lora }: ModelReference,
    checkpoint?: Checkpoint,
    options: { signal?: AbortSignal } = {},
  ): Promise<ModelData> {
    const base = checkpoint ?? (await openCheckpoint(model.path, options));
    const adapter = lora && (await openLoraAdapter(lora.path, base.tensors, options));
    return new ModelData(base, adapter);
  }

  /** Reads `tensors` from `file` from now on. */
  replace(file: WeightFile): void {
    this.#extraFiles.push(file);
    for (const tensor of file.tensors) this.#replaced.set(tensor.name, tensor);
  }

  source(name: string): TensorSource {
    const replaced = this.#replaced.get(name) ?? this.#adapter?.replacements.get(name);
    if (replaced) return { tensor: replaced };
    const tensor = this.checkpoint.tensors.get(name);
    if (!tensor) {
      throw new WisemergeError('ERR_NO_SUCH_TENSOR', `${this.checkpoint.path} has no tensor "${name}"`, {
        tensor: name,
      });
    }
    const addend = this.#adapter?.addends.get(name);
    return addend ? { tensor, addend } : { tensor };
  }

  /** All files that sources name. */
  get files(): readonly WeightFile[] {
    return [...this.checkpoint.files, ...(this.#adapter?.files ?? []), ...this.#extraFiles];
  }
}
