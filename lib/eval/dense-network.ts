import type { Checkpoint, Config } from '../checkpoint/checkpoint.js';
import { formatShape, type TensorInfo } from '../checkpoint/tensor.js';
import { WisemergeError } from '../errors.js';
import { findWeight } from './linear-head.js';

/** Activations that are trained: GELU with the error function, ReLU. */
export const activations = ['gelu', 'relu'] as const;
export type Activation = (typeof activations)[number];

export interface NetworkLayer {
  readonly kind: 'linear' | 'layernorm' | Activation;
  /** Numbers per sample. */
  readonly inputs: number;
  readonly outputs: number;
  /** `linear`: [outputs, inputs]; `layernorm`: [outputs]. */
  readonly weight?: TensorInfo;
  /** [outputs]. */
  readonly bias?: TensorInfo;
  /** Of `layernorm`. */
  readonly epsilon?: number;
}

/** What of a checkpoint is trained: all of an MLP, or the linear head of any model. */
export interface Network {
  readonly layers: readonly NetworkLayer[];
  /** The trained tensors, in the order of the layers. */
  readonly tensors: readonly TensorInfo[];
  /** Features per sample. */
  readonly inputs: number;
  readonly classes: number;
}

export interface NetworkOptions {
  /** Weight of the linear head to train alone. */
  readonly head?: string;
  /** Default: `hidden_act`, `activation` or `activation_function` of config.json, else GELU. */
  readonly activation?: Activation;
}

/** The tensors of one place in a chain of layers. */
interface Unit {
  readonly weight: TensorInfo;
  readonly bias: TensorInfo | undefined;
  readonly linear: boolean;
  /** Its number in a torch Sequential, where activations leave gaps; undefined elsewhere. */
  readonly number: number | undefined;
}

/**
 * Finds the network to train. A checkpoint whose tensors all are those of an MLP is trained whole: matrices
 * and their biases named `layers.N.weight` or `N.weight` (as in a torch Sequential), or `fcN.weight`, with any
 * prefix, and a last `head.weight` or `classifier.weight`; a vector in place of a matrix is a layer
 * normalisation (`lnN` or `normN` beside `fcN`). In any other checkpoint the linear head is trained and the
 * rest stays as it is.
 *
 * An activation stands between two linear layers: where the numbers of a Sequential leave a gap, else behind
 * the normalisation.
 *
 * Throws ERR_NO_SUCH_TENSOR (no head, or several), ERR_SHAPE_MISMATCH, ERR_DTYPE_MISMATCH (trained are F32,
 * F16 and BF16), ERR_CONFIG (an activation that is not trained).
 */
export function findNetwork(checkpoint: Checkpoint, options: NetworkOptions = {}): Network {
  const units = options.head === undefined ? chainOf(checkpoint) : undefined;
  const layers = layersOf(units ?? [headOf(checkpoint, options.head)], checkpoint, options);
  const tensors = layers
    .flatMap(({ weight, bias }) => [weight, bias])
    .filter((tensor) => tensor !== undefined);
  for (const tensor of tensors) checkTrained(tensor);
  return { layers, tensors, inputs: layers[0]!.inputs, classes: layers.at(-1)!.outputs };
}

/** Throws ERR_DTYPE_MISMATCH unless a tensor can be trained. */
export function checkTrained({ name, dtype, file }: TensorInfo): void {
  if (dtype === 'F32' || dtype === 'F16' || dtype === 'BF16') return;
  throw new WisemergeError(
    'ERR_DTYPE_MISMATCH',
    `${name} has dtype ${dtype}; F32, F16 and BF16 can be trained`,
    { tensor: name, file, hint: 'Save the model as float32 first.' },
  );
}

/** Whether a checkpoint is an MLP with hidden layers, all of which `findNetwork` takes. */
export function isMlp(checkpoint: Checkpoint): boolean {
  const units = chainOf(checkpoint);
  return units !== undefined && units.filter(({ linear }) => linear).length > 1;
}

function headOf(checkpoint: Checkpoint, head: string | undefined): Unit {
  const weight = findWeight(checkpoint, checkpoint.path, head);
  const name = weight.name.replace(/weight$/, 'bias');
  const bias = name === weight.name ? undefined : checkpoint.tensors.get(name);
  return { weight, bias, linear: true, number: undefined };
}

const named = /^(?:(.*)\.)?(?:(\d+)|(fc|linear|ln|norm|layer_?norm)(\d+))\.(weight|bias)$/;
const lastNamed = /^(?:.*\.)?(?:head|classifier|fc)\.(weight|bias)$/;

/** The layers of an MLP in order; undefined if a tensor belongs to none. */
function chainOf({ tensors }: Checkpoint): Unit[] | undefined {
  interface Place {
    prefix: string;
    number: number;
    sequential: boolean;
    norm: boolean;
    weight?: TensorInfo;
    bias?: TensorInfo;
  }
  const places = new Map<string, Place>();
  for (const tensor of tensors.values()) {
    const match = named.exec(tensor.name);
    const last = lastNamed.exec(tensor.name);
    const kind = (match?.[5] ?? last?.[1]) as 'weight' | 'bias' | undefined;
    if (kind === undefined) return undefined;
    const key = tensor.name.slice(0, -kind.length);
    const word = match?.[3];
    const place: Place = places.get(key) ?? {
      prefix: match ? (match[1] ?? '') : '',
      number: match ? Number(match[2] ?? match[4]) : Number.POSITIVE_INFINITY,
      sequential: match?.[2] !== undefined,
      norm: word !== undefined && word !== 'fc' && word !== 'linear',
    };
    places.set(key, place);
    place[kind] = tensor;
  }
  const all = [...places.values()].sort((a, b) => a.number - b.number || Number(a.norm) - Number(b.norm));
  const numbered = all.filter(({ number }) => Number.isFinite(number));
  const one = <T>(values: readonly T[]) => new Set(values).size <= 1;
  const fits =
    numbered.length > 0 &&
    all.length - numbered.length <= 1 &&
    one(numbered.map(({ prefix }) => prefix)) &&
    one(numbered.map(({ sequential }) => sequential));
  if (!fits) return undefined;
  const units: Unit[] = [];
  for (const { weight, bias, number, sequential } of all) {
    if (!weight || weight.shape.length < 1 || weight.shape.length > 2) return undefined;
    const linear = weight.shape.length === 2;
    units.push({ weight, bias, linear, number: sequential ? number : undefined });
  }
  return units.some(({ linear }) => linear) ? units : undefined;
}

function layersOf(units: readonly Unit[], checkpoint: Checkpoint, options: NetworkOptions): NetworkLayer[] {
  const linears = units.flatMap(({ linear }, i) => (linear ? [i] : []));
  // The unit behind which each activation stands.
  const places = new Set(linears.slice(1).map((to, i) => activationPlace(units, linears[i]!, to)));
  if (places.size === 0 && options.activation !== undefined) {
    throw new WisemergeError(
      'ERR_USAGE',
      `activation: ${checkpoint.path} has no two linear layers with one between them`,
      { file: checkpoint.path, hint: 'Leave activation out.' },
    );
  }
  const activation = places.size > 0 ? (options.activation ?? configActivation(checkpoint)) : undefined;
  const layers: NetworkLayer[] = [];
  for (const [i, { weight, bias, linear }] of units.entries()) {
    const outputs = weight.shape[0]!;
    const inputs = linear ? weight.shape[1]! : outputs;
    const before = layers.at(-1);
    if (before && before.outputs !== inputs) {
      const source = units[i - 1]!.weight;
      throw shapeError(
        weight,
        `takes ${inputs} numbers per sample; ${source.name} before it gives ${before.outputs}`,
      );
    }
    if (inputs === 0 || outputs === 0) throw shapeError(weight, 'is empty');
    if (bias && (bias.shape.length !== 1 || bias.shape[0] !== outputs)) {
      throw shapeError(bias, `does not fit ${weight.name}, ${formatShape(weight.shape)}`);
    }
    layers.push({
      kind: linear ? 'linear' : 'layernorm',
      inputs,
      outputs,
      weight,
      ...(bias && { bias }),
      ...(!linear && { epsilon: configEpsilon(checkpoint.config) }),
    });
    if (places.has(i)) layers.push({ kind: activation!, inputs: outputs, outputs });
  }
  return layers;
}

function activationPlace(units: readonly Unit[], from: number, to: number): number {
  const numbers = units.slice(from, to + 1).map(({ number }) => number);
  const gap = (i: number) => numbers[i] !== undefined && numbers[i + 1]! - numbers[i]! > 1;
  const last = numbers.length - 2;
  return last > 0 && gap(0) && !gap(last) ? from : to - 1;
}

function shapeError(tensor: TensorInfo, why: string): WisemergeError {
  return new WisemergeError('ERR_SHAPE_MISMATCH', `${tensor.name}, ${formatShape(tensor.shape)}, ${why}`, {
    tensor: tensor.name,
    file: tensor.file,
    hint: 'Its layers do not form a chain. To train the head alone, name its weight with head (--head).',
  });
}

function configActivation({ config, path }: Checkpoint): Activation {
  const name = config?.hidden_act ?? config?.activation ?? config?.activation_function ?? 'gelu';
  const known = activations.find((activation) => activation === name);
  if (known) return known;
  throw new WisemergeError(
    'ERR_CONFIG',
    `config.json of ${path} names the activation ${JSON.stringify(name)}; trained are ${activations.join(', ')}`,
    {
      file: path,
      hint: 'If the model has one of these all the same, say so with activation (--activation).',
    },
  );
}

function configEpsilon(config: Config | undefined): number {
  const value = config?.layer_norm_eps ?? config?.layer_norm_epsilon;
  return typeof value === 'number' && value > 0 ? value : 1e-5;
}
