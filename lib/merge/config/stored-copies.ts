import { statedTie, tiedSource } from '../tied.js';
import { isOutputHead } from '../vocabulary-tensors.js';
import type { ModelHeaders } from './output-tensors.js';
import type { Problems } from './problems.js';
import type { ResolvedTensor } from './resolved.js';
import { takenBy } from './row-tables.js';

/** An embedding whose network computes something else without the tie: T5 no longer scales what goes into the head, BART's stacks lose their embeddings. */
const shared = /(^|\.)shared\.weight$/;

interface CopyContext {
  readonly models: readonly ModelHeaders[];
  readonly donor: number;
  /** Whether an adapter is added to a model, which may have trained its head apart. */
  readonly adapted: (model: number) => boolean;
  readonly problems: Problems;
}

/**
 * Leaves out heads and further embeddings that the donor does not store, since its embedding stands for them, and that all models
 * that do store them tie to theirs. They hold nothing that the merged embedding does not, and writing them would untie the donor.
 */
export function withoutCopies(
  tensors: readonly ResolvedTensor[],
  { models, donor, adapted, problems }: CopyContext,
): readonly ResolvedTensor[] {
  const own = models[donor]!;
  const isCopy = (tensor: ResolvedTensor): boolean => {
    if (own.tensors.has(tensor.name)) return false;
    const embedding = tiedSource(tensor, own, { anyRows: true });
    const stored = embedding && tensors.find(({ name }) => name === embedding.name);
    if (!stored || (!shared.test(stored.name) && recipe(stored) !== recipe(tensor))) return false;
    const holders = takenBy(tensor).filter((one) => one.tensor === tensor.name);
    return holders.every(({ model }) => !adapted(model) && isTied(tensor, models[model]!, own));
  };
  const copies = tensors.filter(isCopy);
  if (copies.length === 0) return tensors;
  const names = copies.map(({ name }) => name).join(', ');
  problems.warnings.push(
    `${problems.file}: ${names} ${copies.length === 1 ? 'is a copy' : 'are copies'} of an embedding to which the models tie ${copies.length === 1 ? 'it' : 'them'}: left out, as in the model that gives the configuration`,
  );
  return tensors.filter((tensor) => !copies.includes(tensor));
}

/** Of which models, by which numbers. */
function recipe({ kernel, inputs, base, parameters }: ResolvedTensor): string {
  const own = inputs.map((input) => [input.model, input.parameters]);
  return JSON.stringify([kernel, parameters, own, base?.model]);
}

/** Where configurations say nothing, the kind of network decides: a donor without a head ties its own, and so do models of its kind. */
function isTied(tensor: ResolvedTensor, model: ModelHeaders, donor: ModelHeaders): boolean {
  const embedding = tiedSource(tensor, model, { anyRows: true });
  if (!embedding) return false;
  if (!isOutputHead(tensor.name)) return true;
  const stated = statedTie(model.config);
  if (stated) return stated.tied;
  const kind = model.config?.model_type;
  return kind !== undefined && kind === donor.config?.model_type && statedTie(donor.config) === undefined;
}
