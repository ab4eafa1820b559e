import { dirname } from 'node:path';
import { openCheckpoint } from '../../checkpoint/checkpoint.js';
import { dtypeInfo, formatShape, type TensorInfo } from '../../checkpoint/tensor.js';
import type { WeightFile } from '../../checkpoint/weight-file.js';
import { WisemergeError } from '../../errors.js';
import { startPulse } from '../../files/pool-pulse.js';
import { equivalentNames } from '../equivalent-names.js';
import { type LoraConfig, readLoraConfig } from './config.js';

/**
 * What an adapter adds to one tensor W: scale · B · A, transposed for weights that are stored [in, out] (Conv1D) or
 * [tokens, dimension] (embeddings). W is [out, in], or [in, out] where `transpose`.
 */
export interface LoraAddend {
  /** [r, in] */
  readonly a: TensorInfo;
  /** [out, r] */
  readonly b: TensorInfo;
  readonly scale: number;
  readonly transpose: boolean;
}

/** A PEFT LoRA adapter, fitted to a base model. All keys are names of the base's tensors. */
export interface LoraAdapter {
  readonly path: string;
  readonly files: readonly WeightFile[];
  readonly addends: ReadonlyMap<string, LoraAddend>;
  /**
   * Tensors that take the place of the base's: `modules_to_save`, trained biases, and embeddings that were saved beside
   * what is added to them.
   */
  readonly replacements: ReadonlyMap<string, TensorInfo>;
}

/** What must be known of a base's tensor. */
export type BaseTensor = Pick<TensorInfo, 'name' | 'shape'>;

/** A part of a low-rank product, by the end of its name. */
const factor = /^(.+)\.lora_(embedding_)?(A|B)(?:\.default)?(?:\.weight)?$/;

/**
 * Reads `adapter_config.json` and the headers of `adapter_model.safetensors` (or `.bin`), and fits every tensor to one
 * of `base`, the tensors of its base model as a checkpoint has them. No data is read.
 *
 * Throws ERR_ADAPTER, which names the tensor: an option or kind of adapter that is not supported, a factor without
 * its partner, a tensor that fits none of the base's, shapes or dtypes that do not fit; ERR_CONFIG, ERR_IO, and what
 * opening a checkpoint throws; ERR_USAGE.
 */
export async function openLoraAdapter(
  path: string,
  base: ReadonlyMap<string, BaseTensor>,
  options: { signal?: AbortSignal } = {},
): Promise<LoraAdapter> {
  // Callers without types may leave it out.
  if (!((base as unknown) instanceof Map)) {
    throw new WisemergeError('ERR_USAGE', "base: must be the map of a base model's tensors", {
      hint: 'Give (await openCheckpoint(base)).tensors of the model that the adapter was trained on.',
      details: { option: 'base' },
    });
  }
  using _pulse = startPulse();
  const checkpoint = await openCheckpoint(path, options);
  const directory = checkpoint.directory ?? dirname(checkpoint.path);
  const config = await readLoraConfig(directory);
  const fit = new Fit(base, config);
  for (const tensor of checkpoint.tensors.values()) fit.add(tensor);
  return { path: checkpoint.path, files: checkpoint.files, ...fit.finish() };
}

interface Factors {
  readonly module: string;
  readonly embedding: boolean;
  A?: TensorInfo;
  B?: TensorInfo;
}

class Fit {
  readonly #base: ReadonlyMap<string, BaseTensor>;
  readonly #config: LoraConfig;
  readonly #products = new Map<string, Factors>();
  readonly #replacements = new Map<string, TensorInfo>();

  constructor(base: ReadonlyMap<string, BaseTensor>, config: LoraConfig) {
    this.#base = base;
    this.#config = config;
  }

  add(tensor: TensorInfo): void {
    if (dtypeInfo(tensor.dtype).kind !== 'float') {
      throw problem(
        tensor,
        `its dtype is ${tensor.dtype}; floats are expected`,
        'Save the adapter unquantised.',
      );
    }
    // PEFT wraps the model twice, and layers that it adapts or saves once more.
    const name = tensor.name
      .replace(/^base_model\.model\./, '')
      .replace(/\.base_layer\./, '.')
      .replace(/\.modules_to_save(\.default)?\./, '.')
      .replace(/\.original_module\./, '.');
    const part = factor.exec(name);
    if (!part) {
      this.#replace(tensor, name);
      return;
    }
    const [, module, embedding, side] = part as unknown as [string, string, string | undefined, 'A' | 'B'];
    const target = this.#find(`${module}.weight`, tensor).name;
    const factors = this.#products.get(target) ?? { module, embedding: embedding !== undefined };
    if (factors[side] || factors.embedding !== (embedding !== undefined)) {
      throw problem(tensor, `"${target}" is adapted twice`, 'Give a file of one adapter.');
    }
    factors[side] = tensor;
    this.#products.set(target, factors);
  }

  #replace(tensor: TensorInfo, name: string): void {
    if (/\.lora_/.test(name)) {
      const dora = name.includes('lora_magnitude_vector');
      throw problem(
        tensor,
        dora
          ? 'the adapter is a DoRA, which is more than a product added to a weight'
          : 'it is of no known kind',
        'Merge the adapter into its base with PEFT (merge_and_unload) first.',
      );
    }
    const target = this.#find(name, tensor);
    if (formatShape(target.shape) !== formatShape(tensor.shape)) {
      throw problem(
        tensor,
        `its shape is ${formatShape(tensor.shape)}; "${target.name}" of the base has ${formatShape(target.shape)}`,
        'Give the base model that the adapter was trained on.',
      );
    }
    if (this.#replacements.has(target.name)) {
      throw problem(tensor, `"${target.name}" is replaced twice`, 'Give a file of one adapter.');
    }
    this.#replacements.set(target.name, tensor);
  }

  #savesModule({ name }: TensorInfo): boolean {
    return this.#config.savedModules.some((module) => `.${name}`.includes(`.${module}.`));
  }

  /** The base's tensor of a name, or the only one of a name that another save of the model may give it. */
  #find(name: string, tensor: TensorInfo): BaseTensor {
    const exact = this.#base.get(name);
    if (exact) return exact;
    const [found, second] = equivalentNames(name).flatMap((other) => this.#base.get(other) ?? []);
    if (found && second) {
      throw problem(
        tensor,
        `"${name}" may be "${found.name}" and "${second.name}" of the base model`,
        'Rename the tensors of the adapter as the base has them.',
      );
    }
    if (found) return found;
    const tied = /(^|\.)(lm_head|embed_out)\.weight$/.test(name);
    throw problem(
      tensor,
      `the base model has no tensor "${name}"`,
      tied
        ? 'Its output head is tied to the input embedding: save the base with a head of its own first.'
        : 'Give the base model that the adapter was trained on.',
    );
  }

  finish(): Pick<LoraAdapter, 'addends' | 'replacements'> {
    for (const [target, tensor] of this.#replacements) {
      if (!target.endsWith('.bias') || this.#config.bias || this.#savesModule(tensor)) continue;
      // Of an output head that was saved with what is added to it.
      const weight = this.#replacements.get(target.replace(/bias$/, 'weight'));
      if (weight && isBaseLayer(weight)) continue;
      throw problem(tensor, 'it is a bias, but bias is "none"', `Correct ${this.#config.file}.`);
    }
    const addends = new Map<string, LoraAddend>();
    for (const [target, factors] of this.#products) {
      const { A: a, B: b } = factors;
      if (!a || !b) {
        const there = (a ?? b)!;
        throw problem(
          there,
          `its partner lora_${a ? 'B' : 'A'} is missing`,
          'The file is incomplete: get it again.',
        );
      }
      const replaced = this.#replacements.get(target);
      if (replaced && !isBaseLayer(replaced)) {
        throw problem(a, `"${target}" is replaced by another tensor too`, 'Give a file of one adapter.');
      }
      addends.set(target, this.#addend(this.#base.get(target)!, a, b, factors));
    }
    return { addends, replacements: this.#replacements };
  }

  #addend(w: BaseTensor, a: TensorInfo, b: TensorInfo, { module, embedding }: Factors): LoraAddend {
    const shapes = `${formatShape(b.shape)} · ${formatShape(a.shape)}`;
    const { rank, scale } = this.#config.module(module);
    if (a.shape.length !== 2 || b.shape.length !== 2 || w.shape.length !== 2) {
      throw problem(
        a,
        `${shapes} for "${w.name}" ${formatShape(w.shape)}: only matrices are supported, not convolutions`,
        'Merge the adapter into its base with PEFT (merge_and_unload) first.',
      );
    }
    if (a.shape[0] !== rank || b.shape[1] !== rank) {
      throw problem(
        a,
        `${shapes}, but the configuration gives rank ${rank}`,
        `Correct ${this.#config.file}.`,
      );
    }
    const [out, input] = [b.shape[0]!, a.shape[1]!];
    const plain = w.shape[0] === out && w.shape[1] === input;
    const swapped = w.shape[0] === input && w.shape[1] === out;
    if (!swapped && (!plain || embedding)) {
      throw problem(
        a,
        `${shapes} does not fit "${w.name}" ${formatShape(w.shape)}`,
        'Give the base model that the adapter was trained on.',
      );
    }
    // PEFT corrects fan_in_fan_out by the kind of layer, so the shape decides where it can.
    const transpose = embedding || (plain && swapped ? this.#config.fanInFanOut : swapped);
    return { a, b, scale, transpose };
  }
}

/** Of a layer that is adapted, the weight or bias beneath: PEFT saves those of embeddings. */
const isBaseLayer = ({ name }: TensorInfo): boolean => name.includes('.base_layer.');

function problem(tensor: TensorInfo, message: string, hint: string): WisemergeError {
  const { name, file } = tensor;
  return new WisemergeError('ERR_ADAPTER', `tensor "${name}" of ${file}: ${message}`, {
    tensor: name,
    file,
    hint,
  });
}
