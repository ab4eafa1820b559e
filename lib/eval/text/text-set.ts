import { xxh3 } from '@node-rs/xxhash';
import { hexDigest } from '../../hex-digest.js';
import type { SetKind, SetRole } from '../data/evaluation-set.js';
import type { EvaluatedSet, SetEvaluation } from '../evaluator.js';
import type { ScoredSequence } from './sequence-losses.js';

export const textTasks = ['perplexity', 'choices'] as const;
export type TextTask = (typeof textTasks)[number];

/** What the likelihood of a choice is divided by: its tokens, the bytes of its text in UTF-8, or nothing. */
export const normalisations = ['tokens', 'bytes', 'none'] as const;
export type Normalisation = (typeof normalisations)[number];

/** Where the text of a set is, and what is measured on it. */
export interface TextSource {
  readonly name: string;
  readonly role: SetRole;
  readonly kind: SetKind;
  /** `perplexity`: .txt, or a column of .jsonl, .parquet, .csv; `choices`: .jsonl. */
  readonly text: string;
  /** Default: `perplexity`. */
  readonly task?: TextTask | undefined;
  /** Tokens that the model sees at once. Default: what it was made for, at most 1024. */
  readonly context?: number | undefined;
  /** Of `perplexity`: tokens from one window to the next, below `context`. Default: half of it. */
  readonly stride?: number | undefined;
  /** Of `choices`. Default: `tokens`. */
  readonly normalise?: Normalisation | undefined;
  /** Of `choices`: [N] group of each question. */
  readonly groups?: string | undefined;
}

/** A set turned into sequences for a decoder, and how their losses become a result. */
export interface TextSet {
  readonly set: EvaluatedSet;
  readonly sequences: readonly ScoredSequence[];
  /** From the sum of losses of each sequence. Throws ERR_EVALUATION. */
  evaluate(losses: Float64Array): SetEvaluation;
}

/** XXH3-64, 16 hex digits, over what decides the result: settings, tokens, and which of them are scored. */
export function fingerprintOf(settings: unknown, sequences: readonly ScoredSequence[]): string {
  const hash = xxh3.Xxh3.withSeed();
  // Lengths come first, so that no two sets run together into the same bytes.
  hash.update(JSON.stringify([settings, sequences.map(({ ids, from }) => [ids.length, from])]));
  for (const { ids } of sequences) hash.update(new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength));
  return hexDigest(hash);
}
