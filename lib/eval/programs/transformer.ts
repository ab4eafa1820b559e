import type { ActivationKind } from '../../native/network.js';
import type { AttentionShape, ProgramBuilder, Rows } from './builder.js';

/** The tensors of one block of a transformer, weights by their full names, norms without `.weight`. */
export interface BlockNames {
  readonly norm1: string;
  /** Three matrices, or one with all rows. */
  readonly qkv: readonly [string, string, string] | string;
  readonly out: string;
  readonly norm2: string;
  readonly up: string;
  readonly down: string;
}

export interface BlockOptions {
  readonly attention: AttentionShape;
  readonly activation: ActivationKind;
  readonly epsilon: number;
}

export function selfAttention(
  b: ProgramBuilder,
  x: Rows,
  { qkv, out }: Pick<BlockNames, 'qkv' | 'out'>,
  shape: AttentionShape,
): Rows {
  const projected =
    typeof qkv === 'string'
      ? b.linear(x, qkv)
      : ([b.linear(x, qkv[0]), b.linear(x, qkv[1]), b.linear(x, qkv[2])] as const);
  return b.linear(b.attention(projected, shape), out);
}

/** x + attention(norm(x)), then x + MLP(norm(x)): the block of ViT and CLIP. */
export function preNormBlock(b: ProgramBuilder, x: Rows, names: BlockNames, options: BlockOptions): Rows {
  const { attention, activation, epsilon } = options;
  const attended = b.add(selfAttention(b, b.layerNorm(x, names.norm1, epsilon), names, attention), x);
  const inner = b.activation(b.linear(b.layerNorm(attended, names.norm2, epsilon), names.up), activation);
  return b.add(b.linear(inner, names.down), attended);
}

/** norm(x + attention(x)), then norm(x + MLP(x)): the block of BERT. */
export function postNormBlock(b: ProgramBuilder, x: Rows, names: BlockNames, options: BlockOptions): Rows {
  const { attention, activation, epsilon } = options;
  const attended = b.layerNorm(b.add(selfAttention(b, x, names, attention), x), names.norm1, epsilon);
  const inner = b.activation(b.linear(attended, names.up), activation);
  return b.layerNorm(b.add(b.linear(inner, names.down), attended), names.norm2, epsilon);
}
