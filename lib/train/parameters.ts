import type { Checkpoint } from '../checkpoint/checkpoint.js';
import type { TensorInfo } from '../checkpoint/tensor.js';
import { WisemergeError } from '../errors.js';
import type { Arena } from '../eval/arena.js';
import type { Network } from '../eval/dense-network.js';
import type { LayerRow } from '../native/inference.js';
import { dtypeByName, type Engine } from '../native.js';

/** A trained tensor and where its parameters begin in an array of all of them. */
export interface TrainedTensor {
  readonly tensor: TensorInfo;
  readonly start: number;
}

/** A network's tensors one behind another in one array, and its layers by places in it. */
export interface ParameterPlan {
  readonly trained: readonly TrainedTensor[];
  /** Of all tensors. */
  readonly count: number;
  readonly layers: readonly LayerRow[];
}

/** Tensors one behind another. */
export function placeTensors(tensors: readonly TensorInfo[]): { trained: TrainedTensor[]; count: number } {
  let count = 0;
  const trained = tensors.map((tensor) => {
    const start = count;
    count += tensor.count;
    return { tensor, start };
  });
  return { trained, count };
}

export function planParameters({ tensors, layers }: Network): ParameterPlan {
  const { trained, count } = placeTensors(tensors);
  const starts = new Map(trained.map(({ tensor, start }) => [tensor.name, start]));
  const place = (tensor: TensorInfo | undefined) => (tensor ? starts.get(tensor.name)! : -1);
  return {
    trained,
    count,
    layers: layers.map(({ kind, inputs, outputs, weight, bias, epsilon = 0 }) => {
      return { kind, inputs, outputs, weight: place(weight), bias: place(bias), epsilon };
    }),
  };
}

/** Elements of one dtype at byte offset `from` as another at `to`; gives the number that are not finite. */
export async function convertElements(
  engine: Engine,
  arena: Arena,
  from: { readonly dtype: string; readonly at: number },
  to: { readonly dtype: string; readonly at: number },
  count: number,
  signal?: AbortSignal,
): Promise<number> {
  const [source, target] = [from, to].map(({ dtype }) => dtypeByName(dtype)!.index) as [number, number];
  // Interpolation at alpha 0 is a conversion.
  const segment = Float64Array.of(source, source, target, count, from.at, from.at, to.at);
  const counts = await engine.lerp(arena.buffer, segment, Float64Array.of(0), signal);
  return counts[0]!;
}

/**
 * Reads a network's tensors as f32 to the array at byte offset `at`; `scratch` has room for the largest of them.
 * Throws ERR_DATA for a tensor with NaN or infinite elements.
 */
export async function readParameters(
  engine: Engine,
  arena: Arena,
  checkpoint: Checkpoint,
  trained: readonly TrainedTensor[],
  at: number,
  scratch: number,
  signal?: AbortSignal,
): Promise<void> {
  for (const { tensor, start } of trained) {
    signal?.throwIfAborted();
    arena.bytes(scratch, tensor.bytes).set(await checkpoint.readTensor(tensor.name));
    const [from, to] = [
      { dtype: tensor.dtype, at: scratch },
      { dtype: 'F32', at: at + 4 * start },
    ];
    const bad = await convertElements(engine, arena, from, to, tensor.count, signal);
    if (bad === 0) continue;
    throw new WisemergeError('ERR_DATA', `${tensor.name} has ${bad} elements that are NaN or infinite`, {
      tensor: tensor.name,
      file: tensor.file,
      hint: 'They would spread through the network: repair the checkpoint first.',
    });
  }
}
