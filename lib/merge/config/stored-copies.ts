import { statedTie, tiedSource } from '../tied.js';
import { isOutputHead } from '../vocabulary-tensors.js';
import type { ModelHeaders } from './output-tensors.js';
import type { Problems } from './problems.js';
import type { ResolvedTensor } from './resolved.js';
import { takenBy } from './row-tables.js';

/** Whose networks are others without the tie: T5 scales what goes into the head, BART loses the embeddings of both its stacks. */
const shared = /(^|\.)shared\.weight$/;

interface CopyContext {
  readonly models: readonly ModelHeaders[];
  readonly donor: number;
  /** Whether an adapter is added to a model, which may have trained its head apart. */
  readonly adapted: (model: number) => boolean;
  readonly problems: Problems;
}

/**
 * Without the heads and further embeddings that the donor does not store, as its embedding stands for them, and that the models that
 * store them tie to theirs: made of the same, they would say nothing new, but take the donor's tie for a head of its own.
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

/** Models of one kind tie theirs alike where their configurations leave it at that, and the donor's stores no head. */
function isTied(tensor: ResolvedTensor, model: ModelHeaders, donor: ModelHeaders): boolean {
  const embedding = tiedSource(tensor, model, { anyRows: true });
  if (!embedding) return false;
  if (!isOutputHead(tensor.name)) return true;
  const stated = statedTie(model.config);
  if (stated) return stated.tied;
  const kind = model.config?.model_type;
  return kind !== undefined && kind === donor.config?.model_type && statedTie(donor.config) === undefined;
}
