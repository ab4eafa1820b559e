import { elementCount } from '../../checkpoint/tensor.js';
import {
  type ActivationKind,
  activationKinds,
  type OpKind,
  type OpRow,
  type ProgramRows,
  type ValueRow,
} from '../../native/network.js';
import type { WeightTable } from './weight-table.js';

/** A value of a program: a [rows, width] matrix of 4-byte numbers. */
export interface Rows {
  readonly id: number;
  readonly rows: number;
  readonly width: number;
}

/** What stands in the place of an array of the caller's. */
export interface ProgramInput {
  readonly name: string;
  readonly id: number;
}
export interface ProgramOutput {
  readonly name: string;
  readonly id: number;
  readonly shape: readonly number[];
}

export interface AttentionShape {
  readonly batch: number;
  readonly heads: number;
  /** Default: as many as heads. */
  readonly kvHeads?: number;
  readonly headDim: number;
  readonly causal?: boolean;
  /** A position attends to this many at most, itself included. */
  readonly window?: number;
  /** One number per token, 0 where nobody attends to it. */
  readonly mask?: Rows;
}

const source = { f32: 'floats', i32: 'whole', candidates: 'eachCandidate' } as const;

/**
 * Writes a program, operation by operation, for one size of batch. Weights are named, their shapes checked against
 * what flows through them. What the operations do is in native/network/ops.h.
 */
export class ProgramBuilder {
  readonly weights: WeightTable;
  readonly inputs: ProgramInput[] = [];
  readonly outputs: ProgramOutput[] = [];
  readonly constants: { readonly id: number; readonly data: Int32Array | Float32Array }[] = [];
  readonly #values: ValueRow[] = [];
  readonly #ops: OpRow[] = [];

  constructor(weights: WeightTable) {
    this.weights = weights;
  }

  /** Values without the offsets of inputs, outputs and constants. */
  get rows(): ProgramRows {
    return { values: this.#values, ops: this.#ops };
  }

  input(name: string, kind: keyof typeof source, rows: number, width = 1): Rows {
    const value = this.#value(rows, width, source[kind]);
    this.inputs.push({ name, id: value.id });
    return value;
  }

  constant(data: Int32Array | Float32Array): Rows {
    const value = this.#value(data.length, 1, data instanceof Int32Array ? 'whole' : 'floats');
    this.constants.push({ id: value.id, data });
    return value;
  }

  /** `shape` begins with the batch. */
  output(name: string, { id }: Rows, shape: readonly number[]): void {
    this.outputs.push({ name, id, shape });
  }

  patches(x: Rows, images: number, channels: number, size: number, patch: number): Rows {
    const squares = Math.floor(size / patch) ** 2;
    const sizes = [images, channels, size, size, patch];
    return this.#op('patches', images * squares, channels * patch * patch, [x], sizes);
  }

  /**
   * x W^T + b with W of the name given, [outputs, …], later axes flattened, and b of the same name with `bias` for
   * `weight`, if there is such a tensor. `transposed`: W is [inputs, outputs].
   */
  linear(x: Rows, weight: string, options: { transposed?: boolean } = {}): Rows {
    const { shape } = this.weights.info(weight);
    const [first, rest] = [shape[0] ?? 1, elementCount(shape.slice(1))];
    const [outputs, inputs] = options.transposed ? [rest, first] : [first, rest];
    if (shape.length < 2 || inputs !== x.width) {
      throw this.weights.mismatch(weight, options.transposed ? `[${x.width}, …]` : `[…, ${x.width}]`);
    }
    const sizes = [x.rows, inputs, outputs, Number(options.transposed ?? false)];
    const parameters = this.#affine(weight, shape, outputs);
    return this.#op('linear', x.rows, outputs, [x], sizes, { parameters });
  }

  /** Tokens in front of each of `batch` sequences, [front, width] or [width], and positions, [tokens, width]. */
  prefix(x: Rows, batch: number, options: { front?: string; positions?: string }): Rows {
    const { front, positions } = options;
    const tokens = x.rows / batch;
    const before = front === undefined ? 0 : this.weights.info(front).count / x.width;
    const length = before + tokens;
    return this.#op('prefix', batch * length, x.width, [x], [batch, before, tokens, x.width], {
      parameters: [
        front === undefined ? undefined : this.weights.number(front, [before, x.width]),
        positions === undefined ? undefined : this.weights.number(positions, [length, x.width]),
      ],
    });
  }

  embedding(ids: Rows, table: string): Rows {
    const [length, width] = this.weights.info(table).shape as [number, number];
    const parameters = [this.weights.number(table, [length, width])];
    return this.#op('embedding', ids.rows, width, [ids], [ids.rows, width, length], { parameters });
  }

  add(x: Rows, y: Rows): Rows {
    return this.#op('add', x.rows, x.width, [x, y], [x.rows * x.width]);
  }

  /** `name` without `.weight` and `.bias`. */
  layerNorm(x: Rows, name: string, epsilon: number): Rows {
    const parameters = ['weight', 'bias'].map((part) =>
      this.weights.has(`${name}.${part}`) ? this.#vector(`${name}.${part}`, x.width) : undefined,
    );
    if (parameters[0] === undefined) this.weights.info(`${name}.weight`);
    return this.#op('layernorm', x.rows, x.width, [x], [x.rows, x.width], { parameters, real: epsilon });
  }

  /** Over `width` numbers at a time; default: whole rows. */
  rmsNorm(x: Rows, weight: string, epsilon: number, width: number = x.width): Rows {
    const rows = (x.rows * x.width) / width;
    const parameters = [this.#vector(weight, width)];
    return this.#op('rmsnorm', x.rows, x.width, [x], [rows, width], { parameters, real: epsilon });
  }

  activation(x: Rows, kind: ActivationKind): Rows {
    return this.#op('activation', x.rows, x.width, [x], [x.rows * x.width, activationKinds.indexOf(kind)]);
  }

  /** f(x) y. */
  gate(x: Rows, y: Rows, kind: ActivationKind): Rows {
    return this.#op('gate', x.rows, x.width, [x, y], [x.rows * x.width, activationKinds.indexOf(kind)]);
  }

  rope(x: Rows, positions: Rows, frequencies: Rows, headDim: number, scale: number): Rows {
    const sizes = [x.rows, x.width / headDim, headDim, frequencies.rows];
    return this.#op('rope', x.rows, x.width, [x, positions, frequencies], sizes, { real: scale });
  }

  /** Of values of their own, or of one value whose rows hold queries, keys and values side by side. */
  attention(qkv: readonly [Rows, Rows, Rows] | Rows, shape: AttentionShape): Rows {
    const { batch, heads, kvHeads = heads, headDim, causal = false, window = 0, mask } = shape;
    const packed = 'id' in qkv;
    const [q, k, v] = packed ? [qkv, qkv, qkv] : qkv;
    const begins = packed ? [0, heads * headDim, (heads + kvHeads) * headDim] : [0, 0, 0];
    const sizes = [
      ...[batch, q.rows / batch, heads, kvHeads, headDim, Number(causal), window],
      ...[q.width, k.width, v.width, ...begins],
    ];
    const values = mask ? [q, k, v, mask] : [q, k, v];
    return this.#op('attention', q.rows, heads * headDim, values, sizes, { real: 1 / Math.sqrt(headDim) });
  }

  /** Token `index[b]` of each sequence; a number stands for all of them. */
  pick(x: Rows, batch: number, index: Rows | number): Rows {
    const which = typeof index === 'number' ? this.constant(new Int32Array(batch).fill(index)) : index;
    return this.#op('pickToken', batch, x.width, [x, which], [batch, x.rows / batch, x.width]);
  }

  /** The mean over the tokens of each sequence from `first` on. */
  mean(x: Rows, batch: number, first = 0): Rows {
    return this.#op('meanToken', batch, x.width, [x], [batch, x.rows / batch, x.width, first]);
  }

  /** Rows of length 1. */
  normalise(x: Rows): Rows {
    return this.#op('normalise', x.rows, x.width, [x], [x.rows, x.width]);
  }

  /** e^s x y^T. */
  similarity(x: Rows, y: Rows, logScale: string): Rows {
    const parameters = [this.weights.number(logScale, [1])];
    return this.#op('similarity', x.rows, y.rows, [x, y], [x.rows, y.rows, x.width], { parameters });
  }

  tokenLosses(logits: Rows, labels: Rows): Rows {
    return this.#op('tokenLosses', logits.rows, 1, [logits, labels], [logits.rows, logits.width]);
  }

  /** The same straight from hidden states, by {@link linear} with this weight. */
  linearLosses(x: Rows, weight: string, labels: Rows): Rows {
    const [classes] = this.weights.info(weight).shape as [number];
    const parameters = this.#affine(weight, [classes, x.width], classes);
    return this.#op('linearLosses', x.rows, 1, [x, labels], [x.rows, x.width, classes], { parameters });
  }

  /** Numbers of a weight and of its bias, if there is one. */
  #affine(weight: string, shape: readonly number[], outputs: number): (number | undefined)[] {
    const bias = weight.replace(/weight$/, 'bias');
    const biased = bias !== weight && this.weights.has(bias);
    return [this.weights.number(weight, shape), biased ? this.#vector(bias, outputs) : undefined];
  }

  #vector(name: string, length: number): number {
    return this.weights.number(name, [length]);
  }

  #value(rows: number, width: number, kind: ValueRow['source']): Rows {
    this.#values.push({ count: rows * width, source: kind });
    return { id: this.#values.length - 1, rows, width };
  }

  #op(
    kind: OpKind,
    rows: number,
    width: number,
    operands: readonly Rows[],
    sizes: readonly number[],
    more: { parameters?: readonly (number | undefined)[]; real?: number } = {},
  ): Rows {
    const out = this.#value(rows, width, 'computed');
    this.#ops.push({ kind, out: out.id, values: operands.map(({ id }) => id), sizes, ...more });
    return out;
  }
}
