import { type Checkpoint, openCheckpoint } from '../../checkpoint/checkpoint.js';
import { elementCount, type TensorInfo } from '../../checkpoint/tensor.js';
import type { WeightFile } from '../../checkpoint/weight-file.js';
import { WisemergeError } from '../../errors.js';
import { localPath, type ModelReference } from '../config/model-reference.js';
import { type LoraAdapter, type LoraAddend, openLoraAdapter } from '../lora/adapter.js';
import type { InputPaths } from '../plan.js';
import type { NativeRowMap } from '../tokenizer/rows.js';

/** Where a tensor of a model is read, and what is added to it on the way. */
export interface TensorSource {
  readonly tensor: TensorInfo;
  readonly addend?: LoraAddend;
  /** Its rows are gathered from several tensors, this one first. */
  readonly gather?: RowGather;
}

/** Rows of an output vocabulary, from the tensors of `map.models`. */
export interface RowGather {
  readonly map: NativeRowMap;
  readonly tables: readonly TensorSource[];
  /** Of their shapes, the one that has the rows. */
  readonly axis: number;
}

/** Elements of a source as the merge sees it. */
export function sourceCount({ tensor, gather }: TensorSource): number {
  return gather
    ? gather.map.rows.length * elementCount(tensor.shape.filter((_, i) => i !== gather.axis))
    : tensor.count;
}

/** A model as a merge reads it: a checkpoint, with an adapter applied. */
export class ModelData {
  readonly checkpoint: Checkpoint;
  readonly #adapter: LoraAdapter | undefined;

  private constructor(checkpoint: Checkpoint, adapter: LoraAdapter | undefined) {
    this.checkpoint = checkpoint;
    this.#adapter = adapter;
  }

  /** `checkpoint`: of the reference's model, where it is open. Throws what opening does, ERR_ADAPTER. */
  static async open(
    { model, lora }: ModelReference,
    checkpoint?: Checkpoint,
    { cache, signal }: { cache?: string | undefined; signal?: AbortSignal | undefined } = {},
  ): Promise<ModelData> {
    const read = signal ? { signal } : {};
    const base = checkpoint ?? (await openCheckpoint(localPath(model, cache), read));
    const adapter = lora && (await openLoraAdapter(localPath(lora, cache), base.tensors, read));
    return new ModelData(base, adapter);
  }

  source(name: string): TensorSource {
    const tensor = this.#adapter?.replacements.get(name) ?? this.checkpoint.tensors.get(name);
    if (!tensor) {
      throw new WisemergeError('ERR_NO_SUCH_TENSOR', `${this.checkpoint.path} has no tensor "${name}"`, {
        tensor: name,
      });
    }
    const addend = this.#adapter?.addends.get(name);
    return addend ? { tensor, addend } : { tensor };
  }

  /** Everything that it is read from. */
  get inputs(): InputPaths[] {
    return this.#adapter ? [this.checkpoint, this.#adapter] : [this.checkpoint];
  }

  /** All files that sources name. */
  get files(): readonly WeightFile[] {
    return [...this.checkpoint.files, ...(this.#adapter?.files ?? [])];
  }
}
