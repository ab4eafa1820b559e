import { openCheckpoint } from '../checkpoint/checkpoint.js';
import type { ProgressListener } from '../checkpoint/progress.js';
import { WisemergeError } from '../errors.js';
import { modelIdentity } from '../eval/model-identity.js';
import { diff } from '../merge/diff.js';
import { type Divergence, groupByLayer } from './divergence.js';
import type { Journal } from './journal.js';
import type { ResolvedSweep } from './sweep-options.js';

/** In a sweep's journal, beside what it evaluated. */
export interface DivergenceEntry {
  readonly divergence: Divergence;
  /** Of what was compared: a head may stay while the rest of its checkpoint changes. */
  readonly models: string;
  readonly seconds: number;
}

/**
 * How far the two checkpoints are apart: both are read once, and the journal knows it from then on. Undefined
 * where the sweep does not want it, or the two have no tensor in common. Rejects as `diff`.
 */
export async function compareOnce<Entry extends object>(
  { zeroshot, finetuned, threads, divergence: wanted }: ResolvedSweep,
  journal: Journal<Entry | DivergenceEntry>,
  signal: AbortSignal | undefined,
  onCompare: ProgressListener | undefined,
): Promise<Divergence | undefined> {
  if (!wanted) return undefined;
  const models = JSON.stringify([
    modelIdentity(await openCheckpoint(zeroshot)),
    modelIdentity(await openCheckpoint(finetuned)),
  ]);
  for (const entry of journal.entries) {
    if (isDivergence(entry) && entry.models === models) return entry.divergence;
  }
  const start = performance.now();
  const found = await diff(zeroshot, finetuned, {
    ...(threads !== undefined && { threads }),
    ...(signal && { signal }),
    ...(onCompare && { onProgress: onCompare }),
  }).catch((error) => {
    // A command may go by alpha alone: its models need have nothing in common.
    if (error instanceof WisemergeError && error.code === 'ERR_INCOMPATIBLE') return undefined;
    throw error;
  });
  if (!found) return undefined;
  const divergence = groupByLayer(found);
  await journal.add({ divergence, models, seconds: (performance.now() - start) / 1000 });
  return divergence;
}

export function isDivergence(entry: object): entry is DivergenceEntry {
  return 'divergence' in entry;
}
