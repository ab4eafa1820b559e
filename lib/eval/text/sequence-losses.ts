import type { NetworkModel, NetworkPoint } from '../network.js';
import { batchesByLength, tokenRows } from './token-batches.js';

/** Tokens of which those from `from` on, at least 1, are scored; the others are what they follow on. */
export interface ScoredSequence {
  readonly ids: Int32Array;
  readonly from: number;
}

/** Tokens of a batch for one candidate: what `NetworkModel` cuts it into is smaller where there are more. */
const batchTokens = 16384;

/**
 * The sum of -log p(token | those before it) over the scored tokens of each sequence, in nats: [alpha][sequence]. The
 * terms are f32, their sums f64 in the order of the tokens, whatever the batches. Throws as
 * `NetworkModel.tokenLosses`.
 */
export async function sequenceLosses(
  model: NetworkModel,
  sequences: readonly ScoredSequence[],
  alphas: readonly NetworkPoint[],
  signal?: AbortSignal,
): Promise<Float64Array[]> {
  const sums = alphas.map(() => new Float64Array(sequences.length));
  const lengths = sequences.map(({ ids }) => ids.length);
  for (const batch of batchesByLength(lengths, batchTokens, model.architecture.paddingCounts)) {
    signal?.throwIfAborted();
    const chosen = batch.map((i) => sequences[i]!);
    const inputs = new Map([
      ['input_ids', tokenRows(chosen.map(({ ids }) => ids))],
      ['labels', tokenRows(chosen.map(labelsOf), -1)],
    ]);
    const losses = await model.tokenLosses(inputs, alphas, signal);
    const tokens = inputs.get('input_ids')!.shape[1]!;
    for (const [k, all] of losses.entries()) {
      for (const [n, i] of batch.entries()) {
        const { ids, from } = sequences[i]!;
        let sum = 0;
        // A token's loss stands where it is predicted, one place before it.
        for (let t = from; t < ids.length; t++) sum += all[n * tokens + t - 1]!;
        sums[k]![i] = sum;
      }
    }
  }
  return sums;
}

/** The tokens to predict; -1 where none counts. */
function labelsOf({ ids, from }: ScoredSequence): Int32Array {
  return ids.map((id, t) => (t < from ? -1 : id));
}
