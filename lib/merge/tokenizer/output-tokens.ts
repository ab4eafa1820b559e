import { listNames } from '../config/list-names.js';
import { renumberedTokens, withExplicitIds } from './explicit-ids.js';
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
 * model is the donor. Throws ERR_TOKENIZER for a union of tokenizers of different kinds, and for ids that cannot be kept.
 */
export function outputTokens(
  models: readonly TokenizerFile[],
  base: number | undefined,
  source: VocabularySource = 'union',
  rules: ReadonlyMap<string, TokenRule> = new Map(),
): OutputTokens {
  const own = typeof source === 'object' && 'file' in source ? source.file : undefined;
  const ofModels = typeof source === 'object' && 'model' in source ? source.model : (base ?? 0);
  const donor: TokenizerFile = own ?? models[ofModels]!;
  const union = source === 'union' ? uniteTokenizers(donor, models) : undefined;
  const begun = union ?? { json: donor.json, tokens: donor.tokens, newAdded: [] };
  const lacking = [...rules.keys()].filter((token) => !begun.tokens.has(token));
  const extended = lacking.length > 0 ? appendTokens(begun, lacking, models) : begun;
  const grown = extended.tokens.size > donor.tokens.size;
  const used = new Set<TokenizerFile>(source === 'union' ? models : [donor]);
  return {
    tokens: extended.tokens,
    donor,
    ...(!own && { donorModel: ofModels }),
    ...(grown && { extended: { ...extended, json: withExplicitIds(extended.json, donor.file) } }),
    warnings: [...(union?.warnings ?? []), ...[...used].flatMap(tokenWarnings)],
  };
}

/** Names tokens that have other ids elsewhere than the file states. */
function tokenWarnings({ file, json }: TokenizerFile): string[] {
  const names = renumberedTokens(json).map(({ content }) => content);
  if (names.length === 0) return [];
  return [
    `${file} states other ids for ${names.length} of its tokens (${listNames(names, 8)}) than transformers gives: rows are those of the stated`,
  ];
}
