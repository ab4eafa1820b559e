import { methods } from '../methods/registry.js';
import type { Place, Problems } from './problems.js';
import { nearest } from './suggest.js';
import type { YamlMap, YamlNode } from './yaml-nodes.js';

/** The kinds of mapping in a configuration, and the keys of each. */
const keys = {
  document: [
    'name',
    'merge_method',
    'models',
    'slices',
    'modules',
    'base_model',
    'dtype',
    'out_dtype',
    'parameters',
    'tokenizer_source',
    'tokenizer',
    'chat_template',
  ],
  model: ['model', 'parameters', 'fisher', 'gram'],
  slice: ['sources', 'base_model', 'residual_weight', 'parameters'],
  source: ['model', 'layer_range', 'parameters', 'fisher', 'gram'],
  module: ['slices', 'models', 'parameters'],
  reference: ['model', 'lora', 'override_architecture'],
  path: ['path', 'revision'],
  tokenizer: ['source', 'tokens', 'pad_to_multiple_of'],
  token: ['source', 'force'],
  tokenSource: ['kind', 'model', 'token', 'token_id'],
  conditional: ['filter', 'value'],
  moe: ['base_model', 'experts', 'shared_experts', 'gate_mode', 'dtype', 'experts_per_token', 'architecture'],
  expert: ['source_model', 'positive_prompts', 'negative_prompts', 'noise_scale', 'residual_scale'],
} as const satisfies Record<string, readonly string[]>;

export type Level = keyof typeof keys;

/** In words, as in "belongs in …". */
const levelNames: Record<Level, string> = {
  document: 'the top level of the file',
  model: 'an entry of models',
  slice: 'an entry of slices',
  source: 'an entry of sources',
  module: 'a module',
  reference: 'a model reference',
  path: 'the path of a model reference',
  tokenizer: 'tokenizer',
  token: 'a token of tokenizer.tokens',
  tokenSource: "a token's source",
  conditional: 'an entry of a list of filters',
  moe: 'the top level of the file',
  expert: 'an expert',
};

/** Keys of former days or other programs, and what takes their place. */
const legacy: Readonly<Record<string, string>> = {
  embed_slerp: 'It is gone: say which embedding a token gets under tokenizer.tokens.',
  input_model_parameters: 'Write the values under `parameters` of each entry of `models`.',
  random_seed:
    'Give it on the command line, --random-seed, or as the option seed of mergeFile: it is 0 unless given.',
};

/** At the top level, keys of the user's own: they hold what other parts refer to. */
const ownKey = /^x-/;
const topLevels: ReadonlySet<Level> = new Set(['document', 'moe']);

const moeKeys = ['experts', 'gate_mode', 'experts_per_token', 'shared_experts'];
/** Levels of files that describe mixtures of experts, which share none with merges but references. */
const moeLevels: ReadonlySet<Level> = new Set(['moe', 'expert']);

/** Of all methods. */
export const parameterNames: ReadonlySet<string> = new Set(
  methods.flatMap(({ parameters }) => parameters.map(({ name }) => name)),
);
const hasParameters: ReadonlySet<Level> = new Set(['document', 'model', 'slice', 'source', 'module']);

/** A mapping's values by key, and where the keys stand. */
export interface Fields {
  readonly place: Place;
  readonly values: ReadonlyMap<string, YamlNode>;
  readonly places: ReadonlyMap<string, Place>;
}

/** Reads a mapping of a level; keys that it does not have are problems. Undefined if it is no mapping. */
export function readFields(node: YamlNode, level: Level, problems: Problems): Fields | undefined {
  if (node.kind !== 'map') {
    problems.add(
      node.place,
      `${levelNames[level]} must be a mapping`,
      `Its keys are ${keys[level].join(', ')}.`,
    );
    return undefined;
  }
  const values = new Map<string, YamlNode>();
  const places = new Map<string, Place>();
  for (const { key, keyPlace, value } of node.entries) {
    if ((keys[level] as readonly string[]).includes(key)) {
      values.set(key, value);
      places.set(key, keyPlace);
    } else if (!(topLevels.has(level) && ownKey.test(key)))
      problems.add(keyPlace, `unknown key "${key}" in ${levelNames[level]}`, unknownKey(key, level));
  }
  return { place: node.place, values, places };
}

/** What to do about a key that a level does not have. */
function unknownKey(key: string, level: Level): string {
  if (Object.hasOwn(legacy, key)) return legacy[key]!;
  if (level === 'document' && moeKeys.includes(key)) {
    return 'This describes a mixture of experts: assemble it with `wisemerge moe`.';
  }
  const homes = (Object.keys(keys) as Level[]).filter(
    (other) =>
      moeLevels.has(other) === moeLevels.has(level) && (keys[other] as readonly string[]).includes(key),
  );
  if (parameterNames.has(key) && !moeLevels.has(level)) {
    return hasParameters.has(level)
      ? `"${key}" belongs under \`parameters\` of ${levelNames[level]}.`
      : `"${key}" is a merge parameter and belongs under \`parameters\`.`;
  }
  const near = nearest(key, keys[level]);
  if (near !== undefined) return `Did you mean "${near}"?`;
  if (homes.length > 0) return `"${key}" belongs in ${homes.map((home) => levelNames[home]).join(' or ')}.`;
  const parameter = hasParameters.has(level) ? nearest(key, parameterNames) : undefined;
  if (parameter !== undefined)
    return `Did you mean the parameter "${parameter}"? It belongs under \`parameters\`.`;
  const own = topLevels.has(level) ? '; a key of your own, for anchors, begins with x-' : '';
  return `Known keys are ${keys[level].join(', ')}${own}.`;
}

/** The entries of a mapping with keys of the user's choice. */
export function readEntries(node: YamlNode, what: string, problems: Problems): YamlMap['entries'] {
  if (node.kind === 'map') return node.entries;
  problems.add(node.place, `${what} must be a mapping`, 'Write `name: value` on lines of their own.');
  return [];
}

/** The items of a list that must not be empty. */
export function readList(node: YamlNode, what: string, problems: Problems): readonly YamlNode[] {
  if (node.kind === 'list' && node.items.length > 0) return node.items;
  const why = node.kind === 'list' ? 'is empty' : 'must be a list';
  problems.add(node.place, `${what} ${why}`, 'Write each entry behind a dash.');
  return [];
}

/** Text that must be there; numbers and the like count as what was written. */
export function readText(node: YamlNode, what: string, problems: Problems): string | undefined {
  if (node.kind === 'scalar' && node.value.kind !== 'null' && node.text !== '') return node.text;
  problems.add(node.place, `${what} must be text`, 'Give a value behind the colon.');
  return undefined;
}

/** True for a key that is given but holds nothing, which counts as absent. */
export function isNull(node: YamlNode | undefined): boolean {
  return node === undefined || (node.kind === 'scalar' && node.value.kind === 'null');
}
