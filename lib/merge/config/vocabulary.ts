import { dtypeInfo, formatShape } from '../../checkpoint/tensor.js';
import { tiedSource } from '../tied.js';
import { outputTokens } from '../tokenizer/output-tokens.js';
import { planVocabulary, type Vocabulary } from '../tokenizer/plan.js';
import { isIdentity, neededRows, toNativeRowMap } from '../tokenizer/rows.js';
import { ruleProblems, type TokenRule } from '../tokenizer/rules.js';
import { missingTokenizer, type TokenizerFile } from '../tokenizer/tokenizer-file.js';
import { vocabularyAxis } from '../vocabulary-tensors.js';
import { withAssumed } from './assumed-tokenizer.js';
import type { MergeConfig } from './config.js';
import { listNames } from './list-names.js';
import { formatModelReference, type ModelReference, modelKey } from './model-reference.js';
import type { HeaderTensor, ModelHeaders } from './output-tensors.js';
import { Problems } from './problems.js';
import type { ResolvedMerge, ResolvedTensor, TensorReference } from './resolved.js';
import { sameShape } from './same-shape.js';
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
  /** One per model. */
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
  for (const { token, message, fix } of ruleProblems(tokenizers, rules)) {
    problems.add(tokenizer.tokens.find((one) => one.token === token)!.place, message, fix);
  }
  problems.throwIfAny();
  const { source, padToMultipleOf } = tokenizer;
  const from = typeof source === 'string' ? source : await sourceOf(source, merge, findTokenizer);
  const output = outputTokens(tokenizers, merge.base, from, rules);
  const vocabulary = planVocabulary(tokenizers, merge.base, output, {
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

/** The tensor of a model whose rows go into an output tensor: its input, or what takes its place. */
export function rowTable(
  output: ResolvedTensor,
  model: number,
  headers: ModelHeaders,
): HeaderTensor | undefined {
  const own = takenBy(output).find((one) => one.model === model);
  if (own) return headers.tensors.get(own.tensor);
  return headers.tensors.get(output.name) ?? tiedSource(output, headers, { anyRows: true });
}

function takenBy({ inputs, base }: ResolvedTensor): TensorReference[] {
  return [...inputs, ...(base ? [base] : [])];
}

function axisOf({ name, shape }: ResolvedTensor): number {
  return vocabularyAxis(name, shape)!;
}

/** Every row that is taken must be there, in the shape of the others. */
function checkTables(
  merge: ResolvedMerge,
  { maps }: Vocabulary,
  models: readonly ModelHeaders[],
  problems: Problems,
): void {
  for (const output of merge.tensors.filter(({ remapped }) => remapped)) {
    const axis = axisOf(output);
    for (const { model } of takenBy(output)) {
      const headers = models[model]!;
      const own = rowTable(output, model, headers)!;
      if (isIdentity(maps[model]!, own.shape[axis]!)) continue;
      const map = toNativeRowMap(maps[model]!, model);
      for (const [i, rows] of neededRows(map).entries()) {
        const of = models[map.models[i]!]!;
        const table = rowTable(output, map.models[i]!, of);
        const name = formatModelReference(merge.models[map.models[i]!]!);
        if (!table) {
          problems.addModel(
            'ERR_MISSING_TENSOR',
            of.path,
            output.name,
            `"${output.name}": ${name} has tokens that others lack, but no such tensor`,
            'Give these tokens a source under tokenizer.tokens, or take tokenizer source base.',
          );
        } else if (table.shape[axis]! < rows || !sameShape(table.shape, own.shape, axis)) {
          problems.addModel(
            'ERR_SHAPE_MISMATCH',
            of.path,
            table.name,
            `"${table.name}" of ${name} is ${formatShape(table.shape)}; ${rows} rows of ${formatShape(own.shape.filter((_, i) => i !== axis))} are needed for its tokens`,
            'Resize the embeddings to the tokenizer, or take the tokenizer that fits them.',
          );
        }
      }
    }
  }
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
