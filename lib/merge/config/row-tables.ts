import { formatShape, sameShape } from '../../checkpoint/tensor.js';
import { tiedSource } from '../tied.js';
import type { Vocabulary } from '../tokenizer/plan.js';
import { isIdentity, neededRows, toNativeRowMap } from '../tokenizer/rows.js';
import { vocabularyAxis } from '../vocabulary-tensors.js';
import { formatModelReference } from './model-reference.js';
import type { HeaderTensor, ModelHeaders } from './output-tensors.js';
import type { Problems } from './problems.js';
import type { ResolvedMerge, ResolvedTensor, TensorReference } from './resolved.js';

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

export function takenBy({ inputs, base }: ResolvedTensor): TensorReference[] {
  return [...inputs, ...(base ? [base] : [])];
}

export function axisOf({ name, shape }: ResolvedTensor): number {
  return vocabularyAxis(name, shape)!;
}

/** Rows of a model's embeddings and heads; the most where these differ, which is then a problem of the shorter ones. */
export function modelRows({ tensors }: ResolvedMerge, model: number, headers: ModelHeaders): number {
  const rows = tensors
    .filter(({ remapped }) => remapped)
    .flatMap((output) => rowTable(output, model, headers)?.shape[axisOf(output)] ?? []);
  return rows.length > 0 ? Math.max(...rows) : Number.POSITIVE_INFINITY;
}

/** A tensor of a model, as far as its rows are taken. */
interface Need {
  readonly model: number;
  rows: number;
  /** Of a model that takes them, which the others must resemble. */
  readonly own: HeaderTensor;
}

/** Every row that is taken must be there, in the shape of the others. */
export function checkTables(
  merge: ResolvedMerge,
  vocabulary: Vocabulary,
  models: readonly ModelHeaders[],
  problems: Problems,
): void {
  for (const output of merge.tensors.filter(({ remapped }) => remapped)) {
    const axis = axisOf(output);
    for (const { model, rows, own } of needs(output, vocabulary, models)) {
      const of = models[model]!;
      const table = rowTable(output, model, of);
      const name = formatModelReference(merge.models[model]!);
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

/** What an output tensor needs of each model's, whoever takes the rows. */
function needs(
  output: ResolvedTensor,
  { maps }: Vocabulary,
  models: readonly ModelHeaders[],
): readonly Need[] {
  const all = new Map<string, Need>();
  for (const { model } of takenBy(output)) {
    const own = rowTable(output, model, models[model]!)!;
    if (isIdentity(maps[model]!, own.shape[axisOf(output)]!)) continue;
    const map = toNativeRowMap(maps[model]!, model);
    for (const [i, rows] of neededRows(map).entries()) {
      const of = map.models[i]!;
      // Where shapes differ between those that take them, each difference is a problem of its own.
      const key = `${of} ${own.shape.filter((_, dim) => dim !== axisOf(output)).join()}`;
      const known = all.get(key);
      if (known) known.rows = Math.max(known.rows, rows);
      else all.set(key, { model: of, rows, own });
    }
  }
  return [...all.values()];
}
