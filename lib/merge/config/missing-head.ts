import { findMethod } from '../methods/registry.js';
import { isTiedEmbedding, statedTie, tiedSource } from '../tied.js';
import { isOutputHead } from '../vocabulary-tensors.js';
import type { ModuleConfig, SliceConfig } from './config.js';
import { endsInHead } from './layer-counts.js';
import { countLayers } from './layer-names.js';
import { isCopied } from './lone-source.js';
import type { ModelHeaders, OutputContext, OutputTensor } from './output-tensors.js';

/**
 * The output head that a donor's configuration promises where no model that gives the end of the output stores one:
 * without it, readers would make one up. Models that tie theirs have their embedding for it.
 */
export function missingHead(
  outputs: readonly OutputTensor[],
  ownerOf: (tensor: string) => ModuleConfig | undefined,
  { config, donor, headers, name, problems }: OutputContext,
): OutputTensor | undefined {
  const own = [...donor.tensors.values()].find((tensor) => isOutputHead(tensor.name));
  const stated = statedTie(donor.config);
  if (!own || stated?.tied || outputs.length === 0 || outputs.some((tensor) => isOutputHead(tensor.name))) {
    return undefined;
  }
  const module = ownerOf(own.name);
  const slice = module && headSlice(module, outputs);
  if (!module || !slice) return undefined;
  const inputs = slice.sources.map((source) => tiedSource(own, headers(source), { anyRows: true }));
  const models = slice.sources.map((source) => name(headers(source))).join(', ');
  if (inputs.some((input) => input)) {
    problems.warnings.push(
      `${config.file}: ${name(donor)}, which gives configuration and tokenizer, has a head of its own: ${own.name} is written, from the embedding that ${models} has for it`,
    );
    const copied = isCopied(slice, slice.base ?? config.base, findMethod(config.method)!);
    return { name: own.name, module, slice, inputs, t: 0, depth: 1, ...(copied && { copied }) };
  }
  if (stated) {
    problems.addModel(
      'ERR_MISSING_TENSOR',
      headers(slice.sources[0]!).path,
      own.name,
      `"${own.name}" is in none of ${models}, and ${stated.path} is false in config.json of ${name(donor)}`,
      'Make the model that the output ends with base_model, or end with one that has a head.',
    );
  }
  return undefined;
}

/** The slice that the output head is of: the last, unless its layers are those of a tower or an encoder. */
function headSlice({ slices }: ModuleConfig, outputs: readonly OutputTensor[]): SliceConfig | undefined {
  const last = slices.at(-1);
  const own = outputs.find(({ slice, layer }) => layer && slice === last);
  const stacks = countLayers(outputs.map(({ name }) => name)).keys();
  return !own?.layer || endsInHead(own.layer.stack, stacks) ? last : slices[0];
}

/**
 * Warns of an output without a head whose models tie theirs to the embedding: the embedding is the first slice's, so that it is
 * also the head behind the layers of the last one.
 */
export function warnForeignHead(
  outputs: readonly OutputTensor[],
  { config, donor, headers, name, problems }: OutputContext,
): void {
  if (!endsWithEmbedding(donor) || outputs.some((tensor) => isOutputHead(tensor.name))) return;
  for (const module of config.modules) {
    const ends = [module.slices[0], headSlice(module, outputs)];
    const [first, last] = ends.map((slice) => slice?.sources.map(headers) ?? []);
    const embedding = outputs.find(
      (tensor) => tensor.slice === ends[0] && isTiedEmbedding(tensor.name) && tensor.inputs.some(Boolean),
    );
    if (!embedding || sameModels(first!, last!)) continue;
    const list = (models: readonly ModelHeaders[]) => models.map(name).join(', ');
    problems.warnings.push(
      `${config.file}: the output has no head of its own: it ends with ${embedding.name} of ${list(first!)}, not of ${list(last!)}, whose layers it ends with`,
    );
  }
}

/** Gemma's configuration does not say that it ties its head: its kind of network does. */
function endsWithEmbedding({ config }: ModelHeaders): boolean {
  const kinds = Array.isArray(config?.architectures) ? config.architectures : [];
  return (
    statedTie(config)?.tied ??
    kinds.some((kind) => /(For(CausalLM|ConditionalGeneration|MaskedLM)|LMHeadModel|MTModel)$/.test(kind))
  );
}

const sameModels = (a: readonly ModelHeaders[], b: readonly ModelHeaders[]): boolean =>
  a.length === b.length && a.every((model) => b.includes(model));
