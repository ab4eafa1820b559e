import type { TokenizerFile } from './tokenizer-file.js';

/** Where a token's embedding comes from. Models are positions in the list of models. */
export type TokenSource =
  | { readonly kind: 'model'; readonly model: number }
  | { readonly kind: 'zero' }
  | { readonly kind: 'model_token'; readonly model: number; readonly token: string | number };

/** What the configuration says about one token. `force`: also for models that have the token themselves. */
export interface TokenRule {
  readonly source?: TokenSource;
  readonly force?: boolean;
}

/** A rule that gives its token no row. */
export interface RuleProblem {
  readonly token: string;
  readonly message: string;
  readonly fix: string;
}

/** What is wrong with the rules, which may be for tokens that no model has. */
export function ruleProblems(
  models: readonly TokenizerFile[],
  rules: ReadonlyMap<string, TokenRule>,
): RuleProblem[] {
  return [...rules].flatMap(([token, { source }]): RuleProblem[] => {
    const name = JSON.stringify(token);
    if (!source) {
      if (models.some(({ tokens }) => tokens.has(token))) return [];
      return [
        {
          token,
          message: `${name} is a token that no model has, and has no source`,
          fix: 'Give it one: `source: {kind: zero}`, or a token of a model, `{kind: model_token, model: …, token: …}`.',
        },
      ];
    }
    if (source.kind === 'zero') return [];
    const { tokens, directory } = models[source.model]!;
    const of = source.kind === 'model' ? token : source.token;
    const there = typeof of === 'number' ? [...tokens.values()].includes(of) : tokens.has(of);
    if (there) return [];
    return [
      {
        token,
        message: `${directory} has no token ${JSON.stringify(of)}, the source of ${name}`,
        fix: 'Name a token of this model, or a model that has it.',
      },
    ];
  });
}
