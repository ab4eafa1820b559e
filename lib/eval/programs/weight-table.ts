import type { Checkpoint } from '../../checkpoint/checkpoint.js';
import { formatShape, type TensorInfo } from '../../checkpoint/tensor.js';
import { WisemergeError } from '../../errors.js';

/** The tensors that programs use, numbered in the order of their first use. */
export class WeightTable {
  readonly #checkpoint: Checkpoint;
  readonly #numbers = new Map<string, number>();

  constructor(checkpoint: Checkpoint) {
    this.#checkpoint = checkpoint;
  }

  get names(): string[] {
    return [...this.#numbers.keys()];
  }

  has(name: string): boolean {
    return this.#checkpoint.tensors.has(name);
  }

  /** Throws ERR_NO_SUCH_TENSOR. */
  info(name: string): TensorInfo {
    const tensor = this.#checkpoint.tensors.get(name);
    if (tensor) return tensor;
    throw new WisemergeError(
      'ERR_NO_SUCH_TENSOR',
      `${this.#checkpoint.path} has no tensor "${name}", which its config.json asks for`,
      { tensor: name, hint: 'Give a model whose weights and config.json belong together.' },
    );
  }

  /** The number of a tensor; throws ERR_SHAPE_MISMATCH unless its axes, beyond those of length 1, are these. */
  number(name: string, shape: readonly number[]): number {
    const tensor = this.info(name);
    const axes = (dims: readonly number[]) => formatShape(dims.filter((dim) => dim !== 1));
    if (axes(tensor.shape) !== axes(shape)) throw this.mismatch(name, formatShape(shape));
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    this.#numbers.set(name, this.#numbers.size);
    return this.#numbers.size - 1;
  }

  /** Throws ERR_CONFIG if there is a tensor of a kind that no program computes. */
  refuse(pattern: RegExp, what: string): void {
    const tensor = [...this.#checkpoint.tensors.values()].find(({ name }) => pattern.test(name));
    if (!tensor) return;
    throw new WisemergeError('ERR_CONFIG', `"${tensor.name}": networks with ${what} cannot be evaluated`, {
      tensor: tensor.name,
      file: tensor.file,
    });
  }

  mismatch(name: string, wanted: string): WisemergeError {
    const { shape, file } = this.info(name);
    return new WisemergeError(
      'ERR_SHAPE_MISMATCH',
      `"${name}" is ${formatShape(shape)}; the network needs ${wanted}`,
      { tensor: name, file, hint: 'Give a model whose weights and config.json belong together.' },
    );
  }
}
