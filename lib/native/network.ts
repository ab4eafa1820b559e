// Evaluating networks natively: see native/network/network.h; the numbers are those of
// native/network/network_rows.h.
import { type Engine, type HostBuffer, nativeBuffer, nativeEngine } from '../native.js';
import { addon, call, type NativeNetwork, run } from './addon.js';

/** In the order of native/network/ops.h. */
const opKinds = [
  'linear',
  'patches',
  'prefix',
  'embedding',
  'add',
  'layernorm',
  'rmsnorm',
  'activation',
  'gate',
  'rope',
  'attention',
  'pickToken',
  'meanToken',
  'normalise',
  'similarity',
  'tokenLosses',
  'headLosses',
] as const;
export type OpKind = (typeof opKinds)[number];

/** In the order of native/network/activations.h. */
export const activationKinds = ['gelu', 'relu', 'quickGelu', 'geluTanh', 'silu', 'tanh'] as const;
export type ActivationKind = (typeof activationKinds)[number];

/** One operation; operands are numbers of values and of parameters, `sizes` those of native/network/ops.h. */
export interface OpRow {
  readonly kind: OpKind;
  readonly out: number;
  readonly values: readonly (number | undefined)[];
  readonly parameters?: readonly (number | undefined)[];
  readonly sizes: readonly number[];
  readonly real?: number;
}

/** In the order of native/network/ops.h: Value::Source. */
const sources = ['computed', 'floats', 'whole', 'eachCandidate'] as const;

/** An array of 4-byte numbers. */
export interface ValueRow {
  readonly count: number;
  readonly source: (typeof sources)[number];
  /** Byte offset in the buffer of inputs and outputs; absent: in the network's own memory. */
  readonly offset?: number;
}

export interface ProgramRows {
  readonly values: readonly ValueRow[];
  readonly ops: readonly OpRow[];
}

/** A tensor of the model at one end: a dtype's index and a byte offset in the buffer of weights. */
export interface StoredWeight {
  readonly dtype: number;
  readonly offset: number;
}

export interface ParameterRow {
  readonly count: number;
  readonly zeroshot: StoredWeight;
  /** Absent where both models have the same bytes. */
  readonly finetuned?: StoredWeight;
}

/** How weights of a product are interpolated: inside it, or before it into scratch memory. Same bits. */
const productWays = ['auto', 'fused', 'scratch'] as const;
export type ProductWay = (typeof productWays)[number];

export interface NetworkOptions {
  /** Default: all. */
  readonly threads?: number;
  readonly way?: ProductWay;
}

const [opValues, opParameters, opSizes] = [4, 2, 13];

/** A program as native code reads it. */
export function programNumbers({ values, ops }: ProgramRows): number[] {
  return [
    ...[values.length, ops.length],
    ...values.flatMap(({ count, source, offset }) => [count, sources.indexOf(source), offset ?? -1]),
    ...ops.flatMap(({ kind, out, values: operands, parameters = [], sizes, real = 0 }) => [
      ...[opKinds.indexOf(kind), out],
      ...padded(operands, opValues, -1),
      ...padded(parameters, opParameters, -1),
      ...padded(sizes, opSizes, 0),
      real,
    ]),
  ];
}

/** A model at both ends of the path, whose weights lie in a buffer. */
export class Network implements Disposable {
  readonly #native: NativeNetwork;

  constructor(
    engine: Engine,
    weights: HostBuffer,
    parameters: readonly ParameterRow[],
    { threads = 0, way = 'auto' }: NetworkOptions = {},
  ) {
    const numbers = [
      threads,
      productWays.indexOf(way),
      ...parameters.flatMap(({ count, zeroshot, finetuned }) => [
        ...[count, zeroshot.dtype, zeroshot.offset],
        ...[(finetuned ?? zeroshot).dtype, finetuned?.offset ?? -1],
      ]),
    ];
    this.#native = call(
      () => new addon.Network(nativeEngine(engine), nativeBuffer(weights), Float64Array.from(numbers)),
    );
  }

  /**
   * Runs a program at several points; `alphas` are [candidate][parameter]. Inputs are read from `buffer`, results
   * written there, candidates one behind the other.
   */
  run(
    buffer: HostBuffer,
    program: ProgramRows,
    alphas: Float64Array,
    candidates: number,
    signal?: AbortSignal,
  ): Promise<void> {
    return run(
      () =>
        this.#native.run(
          nativeBuffer(buffer),
          Float64Array.from(programNumbers(program)),
          candidates,
          alphas,
        ),
      signal,
    );
  }

  /** Lets go of the memory once the jobs already started have ended. */
  close(): void {
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function padded(numbers: readonly (number | undefined)[], length: number, absent: number): number[] {
  return Array.from({ length }, (_, i) => numbers[i] ?? absent);
}
