import { formatShape } from '../../checkpoint/tensor.js';
import { toFloats } from '../../checkpoint/to-floats.js';
import { WisemergeError } from '../../errors.js';
import type { DTypeName } from '../../native.js';

/** An array given to a network: little-endian elements in C order. */
export interface NetworkInput {
  readonly dtype: DTypeName;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

export type NetworkInputs = ReadonlyMap<string, NetworkInput>;

/**
 * The shape of an input; axes that may have any length but 0 are named, `N` for that of the samples. Throws
 * ERR_DATA_MISMATCH.
 */
export function checkShape(
  name: string,
  { shape }: NetworkInput,
  wanted: readonly (number | string)[],
): readonly number[] {
  const fits =
    shape.length === wanted.length && wanted.every((dim, i) => typeof dim === 'string' || dim === shape[i]);
  const empty = shape.indexOf(0);
  if (fits && empty >= 0) {
    throw new WisemergeError(
      'ERR_DATA_MISMATCH',
      `${name} is ${formatShape(shape)}: no ${wanted[empty] === 'N' ? 'samples' : 'tokens'}`,
      { tensor: name, hint: `Give at least one, as in [${wanted.join(', ')}].` },
    );
  }
  if (fits) return shape;
  throw new WisemergeError(
    'ERR_DATA_MISMATCH',
    `${name} is ${formatShape(shape)}; the network takes [${wanted.join(', ')}]`,
    { hint: 'Prepare the inputs as config.json of the model says.' },
  );
}

/** F32, F16, BF16 and F64 as f32. Throws ERR_DTYPE_MISMATCH. */
export function floatsOf(name: string, { data, dtype }: NetworkInput): Float32Array {
  return toFloats(data, dtype, name);
}

/** Whole numbers from `low` to below `high`. Throws ERR_DTYPE_MISMATCH, ERR_DATA_MISMATCH. */
export function wholeOf(name: string, input: NetworkInput, low: number, high: number): Int32Array {
  const read = reader(name, input);
  return Int32Array.from({ length: input.shape.reduce((a, b) => a * b, 1) }, (_, i) => {
    const value = read(i);
    if (value >= low && value < high) return value;
    throw new WisemergeError('ERR_DATA_MISMATCH', `${name}: ${value} is outside ${low}..${high - 1}`, {
      hint: 'Prepare the inputs with the tokenizer of this model.',
    });
  });
}

/** Sequences of one length, and which of their tokens count. */
export interface TokenInputs {
  readonly ids: Int32Array;
  readonly mask: Int32Array | undefined;
  readonly batch: number;
  readonly tokens: number;
}

/** `input_ids`, and `attention_mask` if there is one, [N, T] of at most `longest` tokens. */
export function bindTokens(
  inputs: NetworkInputs,
  vocabulary: number,
  longest: number = Number.POSITIVE_INFINITY,
): TokenInputs {
  const given = inputs.get('input_ids')!;
  const tooLong = (given.shape[1] ?? 0) > longest;
  const [batch, tokens] = checkShape('input_ids', given, ['N', tooLong ? longest : 'T']) as [number, number];
  const masked = inputs.get('attention_mask');
  if (masked) checkShape('attention_mask', masked, [batch, tokens]);
  return {
    ids: wholeOf('input_ids', given, 0, vocabulary),
    mask: masked && wholeOf('attention_mask', masked, 0, 2),
    batch,
    tokens,
  };
}

function reader(name: string, { dtype, data }: NetworkInput): (i: number) => number {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  switch (dtype) {
    case 'I64':
      return (i) => Number(view.getBigInt64(8 * i, true));
    case 'I32':
      return (i) => view.getInt32(4 * i, true);
    case 'U8':
    case 'BOOL':
      return (i) => view.getUint8(i);
    default:
      throw new WisemergeError(
        'ERR_DTYPE_MISMATCH',
        `${name} has dtype ${dtype}; expected whole numbers: I64, I32, U8 or BOOL`,
        { tensor: name },
      );
  }
}
