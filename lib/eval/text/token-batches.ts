import type { NetworkInput } from '../programs/inputs.js';

/** Of all tokens of a batch, at most this share is padding. */
const mostPadding = 0.2;

/**
 * Numbers of sequences in batches of similar lengths, `tokens` per batch with padding, or one sequence. `same`: only
 * sequences of one length go together.
 */
export function batchesByLength(lengths: readonly number[], tokens: number, same = false): number[][] {
  const order = [...lengths.keys()].sort((a, b) => lengths[b]! - lengths[a]! || a - b);
  const batches: number[][] = [];
  let longest = 0;
  for (const i of order) {
    const length = lengths[i]!;
    const batch = batches.at(-1);
    const shortest = same ? longest : (1 - mostPadding) * longest;
    if (batch && length >= shortest && (batch.length + 1) * longest <= tokens) {
      batch.push(i);
    } else {
      batches.push([i]);
      longest = length;
    }
  }
  return batches;
}

/**
 * Sequences as rows of one length, [N, T], filled up on the right: with `filler`, or by default with the last token of
 * each, so that an end of text that CLIP looks for is still the first one.
 */
export function tokenRows(sequences: readonly ArrayLike<number>[], filler?: number): NetworkInput {
  const tokens = sequences.reduce((most, { length }) => Math.max(most, length), 0);
  const rows = new Int32Array(sequences.length * tokens);
  for (const [n, sequence] of sequences.entries()) {
    rows.set(sequence, n * tokens);
    const last = filler ?? sequence[sequence.length - 1] ?? 0;
    rows.fill(last, n * tokens + sequence.length, (n + 1) * tokens);
  }
  return { dtype: 'I32', shape: [sequences.length, tokens], data: new Uint8Array(rows.buffer) };
}
