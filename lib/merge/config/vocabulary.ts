import { dtypeInfo } from '../../checkpoint/tensor.js';
import { outputTokens } from '../tokenizer/output-tokens.js';
import { planVocabulary, type Vocabulary } from '../tokenizer/plan.js';
import { fitTokenizers } from '../tokenizer/rowless.js';
import { isIdentity } from '../tokenizer/rows.js';
import { ruleProblems, type TokenRule } from '../tokenizer/rules.js';
import { missingTokenizer, type TokenizerFile } from '../tokenizer/tokenizer-file.js';
import { vocabularyAxis } from '../vocabulary-tensors.js';
import { withAssumed } from './assumed-tokenizer.js';
import type { MergeConfig } from './config.js';
import { listNames } from './list-names.js';
import { formatModelReference, type ModelReference, modelKey } from './model-reference.js';
import type { ModelHeaders } from './output-tensors.js';
import { Problems } from './problems.js';
import type { ResolvedMerge } from './resolved.js';
import { axisOf, checkTables, modelRows, takenBy } from './row-tables.js';
import type { TokenizerConfig, TokenSource } from './tokenizer.js';

/** What planning a vocabulary needs to know of the models. */
export interface VocabularyContext {
  /** In the order of `merge.models`. */
  readonly models: readonly ModelHeaders[];
  /** The tokenizer of any reference, if it has one. */
  readonly findTokenizer: (reference: ModelReference) => Promise<TokenizerFile | undefined>;
}

/** A merge with the shapes of its output vocabulary. */
export interface MergeWithVocabulary {
  readonly merge: ResolvedMerge;
  readonly vocabulary: Vocabulary;
  /** One per model, as the files have them. */
  readonly tokenizers: readonly TokenizerFile[];
}

/**
 * Plans the vocabulary that a configuration asks for, and checks that every row it takes is there. Throws ERR_TOKENIZER,
 * ERR_CONFIG, ERR_IO; ERR_MERGE_FILE for sources that are no models of the merge, else ERR_INCOMPATIBLE.
 */
export async function withVocabulary(
  config: MergeConfig,
  merge: ResolvedMerge,
  { models, findTokenizer }: VocabularyContext,
): Promise<MergeWithVocabulary> {
  const tokenizer = merge.tokenizer!;
  const problems = new Problems(config.file);
  const rules = readRules(tokenizer, merge, problems);
  if (
    typeof tokenizer.source !== 'string' &&
    tokenizer.source.document &&
    indexOf(merge, tokenizer.source) < 0
  ) {
    problems.add(
      tokenizer.place,
      `the tokenizer is to be that of document ${formatModelReference(tokenizer.source)}, which is no model here`,
      'Take the tokenizer of a listed model.',
    );
  }
  problems.throwIfAny();
  const found = await Promise.all(merge.models.map(findTokenizer));
  const { tokenizers, warnings: assumed } = withAssumed(found, merge, models);
  const rows = models.map((model, i) => modelRows(merge, i, model));
  const { files, withRows } = fitTokenizers(tokenizers, rows, rules);
  for (const { token, message, fix } of ruleProblems(withRows, rules)) {
    problems.add(tokenizer.tokens.find((one) => one.token === token)!.place, message, fix);
  }
  problems.throwIfAny();
  const { source, padToMultipleOf } = tokenizer;
  const from = typeof source === 'string' ? source : await sourceOf(source, merge, findTokenizer);
  const output = outputTokens(files, merge.base, from, rules);
  const vocabulary = planVocabulary(withRows, merge.base, output, {
    rules,
    ...(padToMultipleOf !== undefined && { padToMultipleOf }),
  });
  checkTables(merge, vocabulary, models, problems);
  problems.throwIfAny();
  const tensors = merge.tensors.map((tensor) =>
    tensor.remapped ? { ...tensor, shape: tensor.shape.with(axisOf(tensor), vocabulary.rows) } : tensor,
  );
  const warnings = [
    ...merge.warnings,
    ...assumed,
    ...vocabulary.warnings,
    ...unmappedWarnings(config, merge, vocabulary, models),
  ];
  const size = { tokens: vocabulary.tokens.size, rows: vocabulary.rows };
  return { merge: { ...merge, tensors, warnings, vocabulary: size }, vocabulary, tokenizers };
}

function indexOf(merge: ResolvedMerge, reference: ModelReference): number {
  return merge.models.findIndex((model) => modelKey(model) === modelKey(reference));
}

async function sourceOf(
  reference: ModelReference,
  merge: ResolvedMerge,
  findTokenizer: VocabularyContext['findTokenizer'],
): Promise<{ readonly model: number } | { readonly file: TokenizerFile }> {
  const model = indexOf(merge, reference);
  if (model >= 0) return { model };
  const file = await findTokenizer(reference);
  if (!file) throw missingTokenizer(reference.model.path);
  return { file };
}

function readRules(
  { tokens }: TokenizerConfig,
  merge: ResolvedMerge,
  problems: Problems,
): Map<string, TokenRule> {
  const rules = new Map<string, TokenRule>();
  for (const { token, source, force, place } of tokens) {
    if (!source || source.kind === 'zero') {
      rules.set(token, { force, ...(source && { source: { kind: 'zero' as const } }) });
      continue;
    }
    const model = indexOf(merge, source.model);
    if (model < 0) {
      problems.add(
        place,
        `the source of token ${token}, ${formatModelReference(source.model)}, is no model of this merge`,
        'Name a listed model: its rows are taken.',
      );
    }
    rules.set(token, { force, source: tokenSource(source, model) });
  }
  return rules;
}

function tokenSource(
  source: Exclude<TokenSource, { kind: 'zero' }>,
  model: number,
): NonNullable<TokenRule['source']> {
  if (source.kind === 'model') return { kind: 'model', model };
  return { kind: 'model_token', model, token: source.token ?? source.tokenId! };
}

/**
 * Tensors that are as long in some direction as the embedding of a model whose rows move, but are not known to follow the
 * vocabulary: perhaps heads by names of their own, whose rows would be mixed with those of other tokens.
 */
function unmappedWarnings(
  { file }: MergeConfig,
  { tensors }: ResolvedMerge,
  { maps }: Vocabulary,
  models: readonly ModelHeaders[],
): string[] {
  const moved = models.map(({ tensors: own }, model) => {
    const sizes = [...own.values()].flatMap(({ name, shape }) => {
      const axis = shape.length > 1 ? vocabularyAxis(name, shape) : undefined;
      return axis === undefined ? [] : [shape[axis]!];
    });
    return new Set(sizes.filter((rows) => rows > 1 && !isIdentity(maps[model]!, rows)));
  });
  const names = tensors
    .filter(({ remapped, dtype }) => !remapped && dtypeInfo(dtype).kind === 'float')
    .filter((output) =>
      takenBy(output).some(({ model, tensor }) =>
        models[model]!.tensors.get(tensor)?.shape.some((dim) => moved[model]!.has(dim)),
      ),
    )
    .map(({ name }) => name);
  if (names.length === 0) return [];
  return [
    `${file}: ${names.length} tensors have a dimension of as many as the embedding has rows, but no name of an embedding or head: they are merged without regard to tokens: ${listNames(names)}`,
  ];
}
