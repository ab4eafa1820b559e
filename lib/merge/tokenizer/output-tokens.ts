import { listNames } from '../config/list-names.js';
import { renumberedTokens, withExplicitIds } from './explicit-ids.js';
import { appendTokens, type ExtendedTokenizer } from './extend.js';
import { type FittedTokenizer, leftOut } from './rowless.js';
import type { TokenRule } from './rules.js';
import type { TokenizerFile } from './tokenizer-file.js';
import { uniteTokenizers } from './union.js';
import { checkUnused } from './without-tokens.js';

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
  /** Whose tokenizer it is, with other tokens where there is a `changed` one. */
  readonly donor: FittedTokenizer;
  /** Position of the donor among the models. */
  readonly donorModel?: number;
  /** The donor's with what it lacked, without what has no row. */
  readonly changed?: ExtendedTokenizer;
  readonly warnings: readonly string[];
}

/**
 * The vocabulary that `source` asks for, and after it the tokens with rules that are not in it. Without a base the first
 * model is the donor. Throws ERR_TOKENIZER for a union of tokenizers of different kinds, and for ids that cannot be kept.
 */
export function outputTokens(
  models: readonly FittedTokenizer[],
  base: number | undefined,
  source: VocabularySource = 'union',
  rules: ReadonlyMap<string, TokenRule> = new Map(),
): OutputTokens {
  const own = typeof source === 'object' && 'file' in source ? source.file : undefined;
  const ofModels = typeof source === 'object' && 'model' in source ? source.model : (base ?? 0);
  const donor: FittedTokenizer = own ?? models[ofModels]!;
  checkUnused(donor, new Set(leftOut(donor)));
  const union = source === 'union' ? uniteTokenizers(donor, models) : undefined;
  const begun = union ?? { json: donor.json, tokens: donor.tokens, newAdded: [] };
  const lacking = [...rules.keys()].filter((token) => !begun.tokens.has(token));
  const extended = lacking.length > 0 ? appendTokens(begun, lacking, models) : begun;
  const same = extended.tokens.size === donor.tokens.size && !donor.whole;
  const used = new Set<FittedTokenizer>(source === 'union' ? models : [donor]);
  return {
    tokens: extended.tokens,
    donor,
    ...(!own && { donorModel: ofModels }),
    ...(!same && { changed: { ...extended, json: withExplicitIds(extended.json, donor.file) } }),
    warnings: [...(union?.warnings ?? []), ...[...used].flatMap(tokenWarnings)],
  };
}

/** What becomes of tokens of a file otherwise than it states. */
function tokenWarnings(file: FittedTokenizer): string[] {
  const lost = leftOut(file);
  const others = renumberedTokens(file.json).map(({ content }) => content);
  return [
    ...(lost.length > 0 ? [`${file.file}: no model has a row for ${count(lost)}: left out`] : []),
    ...(others.length > 0
      ? [
          `${file.file} states other ids for ${count(others)} than transformers gives: rows are those of the stated`,
        ]
      : []),
  ];
}

function count(tokens: readonly string[]): string {
  return `${tokens.length} of its tokens (${listNames(tokens, 8)})`;
}
