import { appendTokens, type ExtendedTokenizer } from './extend.js';
import type { TokenRule } from './rules.js';
import type { TokenizerFile } from './tokenizer-file.js';
import { uniteTokenizers } from './union.js';

/** Whose tokenizer an output gets. Models are positions in the list of models. */
export type VocabularySource =
  | 'union'
  | 'base'
  | { readonly model: number }
  /** Of no model. */
  | { readonly file: TokenizerFile };

/** The tokens of an output. */
export interface OutputTokens {
  /** Token to id. */
  readonly tokens: ReadonlyMap<string, number>;
  /** Whose tokenizer it is, with more tokens where there is an `extended` one. */
  readonly donor: TokenizerFile;
  /** Position of the donor among the models. */
  readonly donorModel?: number;
  /** The donor's with what it lacked. */
  readonly extended?: ExtendedTokenizer;
  readonly warnings: readonly string[];
}

/**
 * The vocabulary that `source` asks for, and after it the tokens with rules that are not in it. Without a base the first
 * model is the donor. Throws ERR_TOKENIZER for a union of tokenizers of different kinds.
 */
export function outputTokens(
  models: readonly TokenizerFile[],
  base: number | undefined,
  source: VocabularySource = 'union',
  rules: ReadonlyMap<string, TokenRule> = new Map(),
): OutputTokens {
  const own = typeof source === 'object' && 'file' in source ? source.file : undefined;
  const ofModels = typeof source === 'object' && 'model' in source ? source.model : (base ?? 0);
  const donor = own ?? models[ofModels]!;
  const union = source === 'union' ? uniteTokenizers(donor, models) : undefined;
  const begun = union ?? { json: donor.json, tokens: donor.tokens, newAdded: [] };
  const lacking = [...rules.keys()].filter((token) => !begun.tokens.has(token));
  const extended = lacking.length > 0 ? appendTokens(begun, lacking, models) : begun;
  return {
    tokens: extended.tokens,
    donor,
    ...(!own && { donorModel: ofModels }),
    ...(extended.tokens.size > donor.tokens.size && { extended }),
    warnings: union?.warnings ?? [],
  };
}
