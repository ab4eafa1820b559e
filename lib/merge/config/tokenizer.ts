import type { ModelReference } from './model-reference.js';
import type { Place } from './problems.js';

/** Where the output's vocabulary comes from. */
export type TokenizerSource = 'union' | 'base' | ModelReference;

/** Where one token's embedding comes from. */
export type TokenSource =
  | { readonly kind: 'model'; readonly model: ModelReference }
  | { readonly kind: 'zero' }
  | {
      readonly kind: 'model_token';
      readonly model: ModelReference;
      readonly token?: string;
      readonly tokenId?: number;
    };

export interface TokenConfig {
  readonly token: string;
  readonly place: Place;
  readonly source?: TokenSource;
  /** Takes the source's embedding for every model, also for those that have the token. */
  readonly force: boolean;
}

/** The tokenizer of the output, and how embeddings follow it. */
export interface TokenizerConfig {
  readonly place: Place;
  readonly source: TokenizerSource;
  /** In the order of the file. */
  readonly tokens: readonly TokenConfig[];
  readonly padToMultipleOf?: number;
}
