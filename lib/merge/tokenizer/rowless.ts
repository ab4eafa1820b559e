import type { TokenRule } from './rules.js';
import type { TokenizerFile } from './tokenizer-file.js';
import { withoutTokens } from './without-tokens.js';

/** A model's tokenizer, as far as there are rows for its tokens. */
export interface FittedTokenizer extends TokenizerFile {
  /** As the file has it, where tokens of it are left out. */
  readonly whole?: TokenizerFile;
}

export interface FittedTokenizers {
  /** Without the tokens that have a row nowhere. */
  readonly files: readonly FittedTokenizer[];
  /** Of each model, without those that it has no row for itself. */
  readonly withRows: readonly TokenizerFile[];
}

/**
 * Tokenizers have more tokens than embeddings have rows where one was added (`[PAD]`, mostly) and the model not resized.
 * Such a token takes the row of another model that has it, or of its rule; where there is none it is left out.
 *
 * `rows`: of each model's embeddings.
 */
export function fitTokenizers(
  files: readonly TokenizerFile[],
  rows: readonly number[],
  rules: ReadonlyMap<string, TokenRule>,
): FittedTokenizers {
  const withRows = files.map((file, model) => belowRow(file, rows[model]!));
  if (withRows.every((file, model) => file === files[model])) return { files, withRows };
  const held = new Set(withRows.flatMap(({ tokens }) => [...tokens.keys()]));
  for (const [token, { source }] of rules) if (source) held.add(token);
  const fitted = files.map((file): FittedTokenizer => {
    const lost = [...file.tokens.keys()].filter((token) => !held.has(token));
    return lost.length > 0 ? { ...withoutTokens(file, new Set(lost)), whole: file } : file;
  });
  return { files: fitted, withRows };
}

/** Tokens of the file that are left out. */
export function leftOut({ whole, tokens }: FittedTokenizer): string[] {
  return whole ? [...whole.tokens.keys()].filter((token) => !tokens.has(token)) : [];
}

function belowRow(file: TokenizerFile, rows: number): TokenizerFile {
  const below = [...file.tokens].filter(([, id]) => id < rows);
  return below.length < file.tokens.size ? { ...file, tokens: new Map(below) } : file;
}
