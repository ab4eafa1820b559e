import { Checkpoint } from '../checkpoint/checkpoint.js';
import { settleAll } from '../checkpoint/settle.js';
import { dtypeInfo, itemSize, type TensorInfo } from '../checkpoint/tensor.js';
import { WisemergeError } from '../errors.js';
import { checkCompatibility } from '../merge/compatibility.js';
import { incompatible, type Problem } from '../merge/problems.js';
import type { Engine } from '../native.js';
import { Arena, ArenaLayout } from './arena.js';

/** A model whose tensors are taken part of, by the names of the first model's. */
export interface Ingredient {
  readonly checkpoint: Checkpoint;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
}

/** Elements of all models together that are read at a time, and least of one. */
const [allElements, leastElements] = [2 ** 23, 2 ** 16];

/**
 * Pairs the tensors of models with those of the first, from headers. Throws ERR_INCOMPATIBLE with all problems of all of
 * them.
 */
export async function openIngredients(models: readonly Checkpoint[]): Promise<Ingredient[]> {
  const problems: Problem[] = [];
  const ingredients: Ingredient[] = [];
  for (const checkpoint of models) {
    const compared = await checkCompatibility(models[0]!, checkpoint);
    problems.push(...compared.problems);
    const own = compared.pairs.filter(({ action }) => action !== 'keep');
    ingredients.push({ checkpoint, tensors: new Map(own.map(({ x, y }) => [x.name, y])) });
  }
  if (problems.length > 0) throw incompatible(problems);
  return ingredients;
}

/**
 * The mean of models, which exists where it is read: tensors are averaged as the method `linear` does it, with its bits, in F32 and not
 * rounded further. Integers are those of the first ingredient. Of one model it is that model. Configuration and
 * whatever else lies beside the weights are the first model's, `like`.
 */
export class AveragedCheckpoint extends Checkpoint {
  readonly #ingredients: readonly Ingredient[];
  readonly #engine: Engine;

  constructor(like: Checkpoint, ingredients: readonly Ingredient[], engine: Engine) {
    const lone = ingredients.length === 1 ? ingredients[0] : undefined;
    const files = like.files.map((file) => ({
      ...file,
      // Networks read no buffer that a model may lack.
      tensors: file.tensors.flatMap((tensor): TensorInfo[] => {
        if (!ingredients.every(({ tensors }) => tensors.has(tensor.name))) return [];
        if (lone) return [{ ...lone.tensors.get(tensor.name)!, name: tensor.name }];
        if (dtypeInfo(tensor.dtype).kind !== 'float') return [tensor];
        return [{ ...tensor, dtype: 'F32', bytes: 4 * tensor.count }];
      }),
    }));
    super(like.path, like.directory, files, like.index, like.config);
    this.#ingredients = ingredients;
    this.#engine = engine;
  }

  override async readTensor(name: string): Promise<Uint8Array> {
    const bytes = new Uint8Array(this.#info(name).bytes);
    await this.readTensorInto(name, bytes);
    return bytes;
  }

  override async readTensorInto(name: string, bytes: Uint8Array): Promise<void> {
    await this.#read(name, 0, bytes);
  }

  override async readTensorRange(name: string, from: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    await this.#read(name, from, bytes);
    return bytes;
  }

  #info(name: string): TensorInfo {
    const tensor = this.tensors.get(name);
    if (tensor) return tensor;
    throw new WisemergeError('ERR_NO_SUCH_TENSOR', `${this.path} has no tensor "${name}"`, { tensor: name });
  }

  async #read(name: string, from: number, into: Uint8Array): Promise<void> {
    const { dtype } = this.#info(name);
    const [first] = this.#ingredients;
    if (this.#ingredients.length === 1 || dtypeInfo(dtype).kind !== 'float') {
      const { checkpoint, tensors } = first!;
      into.set(await checkpoint.readTensorRange(tensors.get(name)!.name, from, into.byteLength));
      return;
    }
    const [begin, count] = [from / 4, into.byteLength / 4];
    const layout = new ArenaLayout();
    const share = Math.max(leastElements, Math.floor(allElements / this.#ingredients.length));
    const most = Math.min(share, count);
    const out = layout.reserve(4 * most);
    const places = this.#ingredients.map(({ tensors }) =>
      layout.reserve(most * itemSize(tensors.get(name)!.dtype)),
    );
    using arena = new Arena(layout);
    for (let done = 0; done < count; done += most) {
      const length = Math.min(most, count - done);
      const inputs = await settleAll(
        this.#ingredients.map(async ({ checkpoint, tensors }, i) => {
          const tensor = tensors.get(name)!;
          const item = itemSize(tensor.dtype);
          const stored = await checkpoint.readTensorRange(tensor.name, (begin + done) * item, length * item);
          arena.bytes(places[i]!, stored.byteLength).set(stored);
          const weight = 1 / this.#ingredients.length;
          return { dtype: dtypeInfo(tensor.dtype).index, at: places[i]!, weight };
        }),
      );
      const to = { dtype: dtypeInfo('F32').index, at: out };
      await this.#engine.combine(arena.buffer, { out: to, count: length, inputs });
      into.set(arena.bytes(out, 4 * length), 4 * done);
    }
  }

  /** Closes the ingredients' files. */
  override async close(): Promise<void> {
    for (const { checkpoint } of this.#ingredients) await checkpoint.close();
  }
}
