import { statedTie, tiedSource } from '../tied.js';
import { isOutputHead } from '../vocabulary-tensors.js';
import type { MergeConfig, SourceConfig } from './config.js';
import { formatModelReference } from './model-reference.js';
import { moduleMatcher } from './module-names.js';
import type { ModelHeaders, OutputTensor } from './output-tensors.js';
import type { Problems } from './problems.js';

/**
 * The output head that a donor's configuration promises where no model that gives the end of the output stores one:
 * without it, readers would make one up. Models that tie theirs have their embedding for it.
 */
export function missingHead(
  config: MergeConfig,
  donor: ModelHeaders,
  headers: (source: SourceConfig) => ModelHeaders,
  names: Iterable<string>,
  outputs: readonly OutputTensor[],
  problems: Problems,
): OutputTensor | undefined {
  const own = [...donor.tensors.values()].find(({ name }) => isOutputHead(name));
  const stated = statedTie(donor.config);
  if (!own || stated?.tied || outputs.length === 0 || outputs.some(({ name }) => isOutputHead(name))) {
    return undefined;
  }
  const module = config.modules.find(
    (one) => one.name === undefined || moduleMatcher(one.name, names)?.(own.name),
  );
  const slice = module?.slices.at(-1);
  if (!module || !slice) return undefined;
  const inputs = slice.sources.map((source) => tiedSource(own, headers(source), { anyRows: true }));
  const models = slice.sources.map(({ model }) => formatModelReference(model)).join(', ');
  if (inputs.some((input) => input)) {
    problems.warnings.push(
      `${config.file}: ${donor.path}, which gives configuration and tokenizer, has a head of its own: ${own.name} is written, from the embedding that ${models} has for it`,
    );
    return { name: own.name, module, slice, inputs, t: 0, depth: 1 };
  }
  if (stated) {
    problems.addModel(
      'ERR_MISSING_TENSOR',
      headers(slice.sources[0]!).path,
      own.name,
      `"${own.name}" is in none of ${models}, and ${stated.path} is false in config.json of ${donor.path}`,
      'Make the model that the output ends with base_model, or end with one that has a head.',
    );
  }
  return undefined;
}
