import { formatShape } from '../../checkpoint/tensor.js';
import { missingTokenizer, type TokenizerFile } from '../tokenizer/tokenizer-file.js';
import { vocabularyAxis } from '../vocabulary-tensors.js';
import { formatModelReference } from './model-reference.js';
import type { ModelHeaders } from './output-tensors.js';
import type { ResolvedMerge } from './resolved.js';

/**
 * The tokenizers of a merge's models: one that brings none is taken to have the donor's, as models are often saved without
 * it, if its embeddings have as many rows as the donor's. Throws ERR_TOKENIZER.
 */
export function withAssumed(
  found: readonly (TokenizerFile | undefined)[],
  { models: references, donor }: ResolvedMerge,
  models: readonly ModelHeaders[],
): { readonly tokenizers: readonly TokenizerFile[]; readonly warnings: readonly string[] } {
  const name = formatModelReference(references[donor]!);
  const warnings: string[] = [];
  const tokenizers = found.map((own, model) => {
    if (own) return own;
    const assumed = found[donor];
    if (!assumed) throw missingTokenizer(models[model]!.path);
    const differing = differingRows(models[model]!, models[donor]!);
    if (differing) throw missingTokenizer(models[model]!.path, `, and ${differing} of ${name}`);
    warnings.push(`${models[model]!.path} has no tokenizer.json: that of ${name} is assumed`);
    return assumed;
  });
  return { tokenizers, warnings };
}

/** Names a tensor with a row per token that has other rows than the donor's. */
function differingRows(model: ModelHeaders, donor: ModelHeaders): string | undefined {
  for (const { name, shape } of model.tensors.values()) {
    const other = donor.tensors.get(name);
    const axis = vocabularyAxis(name, shape);
    if (other === undefined || axis === undefined || other.shape[axis] === shape[axis]) continue;
    return `"${name}" is ${formatShape(shape)}, not ${formatShape(other.shape)} as that`;
  }
  return undefined;
}
