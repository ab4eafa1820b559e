// Networks applied to features: see native/train/inference.h; the numbers are those of native/train/train_rows.h.
import { type Engine, type HostBuffer, nativeBuffer, nativeEngine } from '../native.js';
import { addon, call, type NativeInference, run } from './addon.js';

/** A layer of a network. */
export interface LayerRow {
  readonly kind: 'linear' | 'layernorm' | 'gelu' | 'relu';
  /** Numbers per sample; equal for all kinds but `linear`. */
  readonly inputs: number;
  readonly outputs: number;
  /** Where they begin in the array of parameters: [outputs, inputs] or [outputs], and [outputs]. */
  readonly weight?: number;
  readonly bias?: number;
  /** Of `layernorm`. */
  readonly epsilon?: number;
}

export interface InferenceOptions {
  readonly layers: readonly LayerRow[];
  /** Parameters of the network. */
  readonly count: number;
  /** Samples that go through together; results do not depend on it. */
  readonly maxRows: number;
  /** 0: all. */
  readonly threads: number;
}

/** One pass: byte offsets into the arena. */
export interface InferenceCall {
  readonly samples: number;
  readonly dimension: number;
  /** Index of the features' dtype. */
  readonly dtype: number;
  /** [samples, dimension]. */
  readonly features: number;
  /** f32, as many as the network has. */
  readonly parameters: number;
  /** f32 from one row of logits to the next, at least the network's outputs. */
  readonly stride: number;
  /** f32, [samples, stride]. */
  readonly logits: number;
}

const kinds: readonly LayerRow['kind'][] = ['linear', 'layernorm', 'gelu', 'relu'];

function layerNumbers(layers: readonly LayerRow[]): number[] {
  return layers.flatMap(({ kind, inputs, outputs, weight = -1, bias = -1, epsilon = 0 }) => [
    ...[kinds.indexOf(kind), inputs, outputs, weight, bias, epsilon],
  ]);
}

/** A network whose parameters are given anew with each call. */
export class Inference implements Disposable {
  readonly #native: NativeInference;

  constructor(engine: Engine, arena: HostBuffer, { layers, count, maxRows, threads }: InferenceOptions) {
    const numbers = Float64Array.of(count, maxRows, threads, ...layerNumbers(layers));
    this.#native = call(() => new addon.Inference(nativeEngine(engine), nativeBuffer(arena), numbers));
  }

  /** Writes the logits of all samples to the arena. */
  run(pass: InferenceCall, signal?: AbortSignal): Promise<void> {
    const { samples, dimension, dtype, features, parameters, stride, logits } = pass;
    const numbers = Float64Array.of(samples, dimension, dtype, features, parameters, stride, logits);
    return run(() => this.#native.run(numbers), signal);
  }

  /** Lets go of the network's memory once the jobs already started have ended. */
  close(): void {
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
