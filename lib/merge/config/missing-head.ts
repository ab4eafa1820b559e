import { statedTie, tiedSource } from '../tied.js';
import { isOutputHead } from '../vocabulary-tensors.js';
import { moduleMatcher } from './module-names.js';
import type { OutputContext, OutputTensor } from './output-tensors.js';

/**
 * The output head that a donor's configuration promises where no model that gives the end of the output stores one:
 * without it, readers would make one up. Models that tie theirs have their embedding for it.
 */
export function missingHead(
  outputs: readonly OutputTensor[],
  names: Iterable<string>,
  { config, donor, headers, name, problems }: OutputContext,
): OutputTensor | undefined {
  const own = [...donor.tensors.values()].find((tensor) => isOutputHead(tensor.name));
  const stated = statedTie(donor.config);
  if (!own || stated?.tied || outputs.length === 0 || outputs.some((tensor) => isOutputHead(tensor.name))) {
    return undefined;
  }
  const module = config.modules.find(
    (one) => one.name === undefined || moduleMatcher(one.name, names)?.(own.name),
  );
  const slice = module?.slices.at(-1);
  if (!module || !slice) return undefined;
  const inputs = slice.sources.map((source) => tiedSource(own, headers(source), { anyRows: true }));
  const models = slice.sources.map((source) => name(headers(source))).join(', ');
  if (inputs.some((input) => input)) {
    problems.warnings.push(
      `${config.file}: ${name(donor)}, which gives configuration and tokenizer, has a head of its own: ${own.name} is written, from the embedding that ${models} has for it`,
    );
    return { name: own.name, module, slice, inputs, t: 0, depth: 1 };
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
