import type { TensorData } from '../checkpoint/write-safetensors.js';
import type { Random } from '../statistics/random.js';
import type { MlpRecipe } from './recipe.js';
import { pixels } from './renderer.js';

/** A model in the making. */
export interface InitialModel {
  readonly tensors: readonly TensorData[];
  readonly config: Readonly<Record<string, unknown>>;
}

/** Standard normal numbers. */
export type Normal = () => number;

export const normalFrom =
  (random: Random): Normal =>
  () =>
    Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());

/** A tensor of normal numbers. */
export function normalTensor(
  name: string,
  shape: readonly number[],
  deviation: number,
  normal: Normal,
): TensorData {
  const length = shape.reduce((a, b) => a * b, 1);
  const data = Float32Array.from({ length }, () => deviation * normal());
  return { name, dtype: 'F32', shape, data: new Uint8Array(data.buffer) };
}

/** A vector of one number. */
export function constantTensor(name: string, length: number, value: number): TensorData {
  const data = new Float32Array(length).fill(value);
  return { name, dtype: 'F32', shape: [length], data: new Uint8Array(data.buffer) };
}

/** An MLP with random weights, normal with variance 2 / inputs (He et al., 2015), and biases 0. */
export function initialMlp({ hidden }: MlpRecipe, classes: number, normal: Normal): InitialModel {
  const sizes = [pixels, ...hidden, classes];
  const tensors = sizes.slice(1).flatMap((outputs, layer) => {
    const inputs = sizes[layer]!;
    const name = layer === hidden.length ? 'head' : `layers.${layer}`;
    return [
      normalTensor(`${name}.weight`, [outputs, inputs], Math.sqrt(2 / inputs), normal),
      constantTensor(`${name}.bias`, outputs, 0),
    ];
  });
  const config = { model_type: 'mlp', hidden_act: 'relu', hidden_sizes: hidden, num_labels: classes };
  return { tensors, config };
}
