import { dtypeInfo, type TensorInfo } from '../checkpoint/tensor.js';
import { listNames } from './config/list-names.js';

/**
 * Whether a tensor is a buffer and no parameter: positions, rotary frequencies, causal masks. Whether a save holds it depends on
 * the version of the library that wrote it, and models compute it where it is missing. Names alone would take the bias of
 * an attention for a mask.
 */
export function isDerivedBuffer({
  name,
  dtype,
  shape,
}: Pick<TensorInfo, 'name' | 'dtype' | 'shape'>): boolean {
  const { kind } = dtypeInfo(dtype);
  const ends = (pattern: RegExp): boolean => pattern.test(name);
  if (ends(/(^|\.)position_ids$/)) return kind === 'integer';
  if (ends(/(^|\.)rotary_emb\.inv_freq$/)) return kind === 'float' && shape.length === 1;
  if (ends(/(^|\.)(attn|attention)\.masked_bias$/)) return shape.every((size) => size === 1);
  if (!ends(/(^|\.)(attn|attention)\.bias$/) || shape.length !== 4) return false;
  const [batch, heads, rows, columns] = shape;
  return batch === 1 && heads === 1 && rows === columns;
}

/** How many batches a batch normalisation has seen, which differs between models and which nothing but more training reads. */
export function isBatchCounter({ name, dtype }: Pick<TensorInfo, 'name' | 'dtype'>): boolean {
  return /(^|\.)num_batches_tracked$/.test(name) && dtypeInfo(dtype).kind === 'integer';
}

/** `outcome`: what becomes of buffers that not all models have, and why. */
export function bufferWarning(buffers: readonly string[], outcome: string): string {
  const count = buffers.length === 1 ? '1 buffer' : `${buffers.length} buffers`;
  return `${outcome}: ${count} that models compute from their configuration (${listNames(buffers)})`;
}
