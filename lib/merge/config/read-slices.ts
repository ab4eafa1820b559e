import type { MethodSpec } from '../methods/spec.js';
import type { ModuleConfig, SliceConfig, SourceConfig } from './config.js';
import { type Fields, isNull, readEntries, readFields, readList } from './keys.js';
import { formatModelReference, modelKey } from './model-reference.js';
import { type ParameterLevel, type ParameterTable, readParameters } from './parameter-value.js';
import type { Problems } from './problems.js';
import { type ReadContext, readReference } from './read-reference.js';
import { readWhole } from './read-tokenizer.js';
import type { YamlNode } from './yaml-nodes.js';

/** The context with the method whose parameters are read; undefined if the file names none that exists. */
export interface MethodContext extends ReadContext {
  readonly method: MethodSpec | undefined;
}

/** The modules of a document: exactly one of `models`, `slices` and `modules` must be given. */
export function readModules(fields: Fields, context: MethodContext): ModuleConfig[] {
  const form = readForm(fields, ['models', 'slices', 'modules'], context.problems);
  if (form === undefined) return [];
  const node = fields.values.get(form)!;
  if (form !== 'modules') {
    return [{ place: fields.place, slices: readForms(form, node, context), parameters: {} }];
  }
  return readEntries(node, 'modules', context.problems).flatMap(({ key, keyPlace, value }) => {
    const module = readFields(value, 'module', context.problems);
    const kind = module && readForm(module, ['models', 'slices'], context.problems);
    if (!kind) return [];
    const slices = readForms(kind, module.values.get(kind)!, context);
    return [{ name: key, place: keyPlace, slices, parameters: parametersOf(module, 'a module', context) }];
  });
}

function readForm<Form extends string>(
  { place, values, places }: Fields,
  forms: readonly Form[],
  problems: Problems,
): Form | undefined {
  const given = forms.filter((form) => !isNull(values.get(form)));
  if (given.length > 1) {
    problems.add(places.get(given[1]!)!, `${given.join(' and ')} are given together`, 'Keep one of them.');
  } else if (given.length === 0) {
    problems.add(place, `none of ${forms.join(', ')} is given`, 'Name the models under one of them.');
  }
  return given[0];
}

function readForms(form: 'models' | 'slices', node: YamlNode, context: MethodContext): SliceConfig[] {
  const items = readList(node, form, context.problems);
  if (form === 'slices') return items.flatMap((item) => readSlice(item, context) ?? []);
  const sources = items.flatMap((item) => readSource(item, 'model', context) ?? []);
  checkDistinct(sources, context.problems);
  return [{ place: node.place, sources, parameters: {} }];
}

function readSlice(node: YamlNode, context: MethodContext): SliceConfig | undefined {
  const { problems } = context;
  const fields = readFields(node, 'slice', problems);
  if (!fields) return undefined;
  const list = fields.values.get('sources');
  if (!list) {
    problems.add(
      fields.place,
      'a slice has no sources',
      'Add `sources:` with models and their layer ranges.',
    );
    return undefined;
  }
  if (fields.values.has('residual_weight')) {
    problems.warn(fields.places.get('residual_weight')!, 'residual_weight has no effect');
  }
  const sources = readList(list, 'sources', problems).flatMap(
    (item) => readSource(item, 'source', context) ?? [],
  );
  checkDistinct(sources, problems);
  const lengths = sources.map(({ layers }) => layers![1] - layers![0]);
  for (const [i, length] of lengths.entries()) {
    if (length === lengths[0]) continue;
    problems.add(
      sources[i]!.place,
      `this source has ${length} layers, the first of its slice ${lengths[0]}`,
      'Give all sources of a slice ranges of one length.',
    );
  }
  const given = fields.values.get('base_model');
  const base = isNull(given) ? undefined : readReference(given!, 'base_model', context);
  const parameters = parametersOf(fields, 'a slice', context);
  return { place: fields.place, sources, parameters, ...(base && { base }) };
}

function readSource(
  node: YamlNode,
  level: 'model' | 'source',
  context: MethodContext,
): SourceConfig | undefined {
  const { problems, method } = context;
  const fields = readFields(node, level, problems);
  if (!fields) return undefined;
  const named = fields.values.get('model');
  if (!named) problems.add(fields.place, 'this entry names no model', 'Add `model:`.');
  const model = named && readReference(named, 'model', context);
  const layers = level === 'source' ? readLayers(fields, problems) : undefined;
  const parameters = parametersOf(fields, 'a model', context);
  const statistics = readStatistics(fields, method, context);
  if (!model || (level === 'source' && !layers)) return undefined;
  return {
    place: fields.place,
    model,
    parameters,
    ...(layers && { layers }),
    ...(statistics && { statistics }),
  };
}

function readLayers({ place, values }: Fields, problems: Problems): [number, number] | undefined {
  const node = values.get('layer_range');
  if (!node) {
    problems.add(
      place,
      'a source has no layer_range',
      'Add `layer_range: [start, end]`; end is not included.',
    );
    return undefined;
  }
  const items = node.kind === 'list' ? node.items : [];
  if (items.length !== 2) {
    problems.add(node.place, 'layer_range is not a pair', 'Write [start, end]; end is not included.');
    return undefined;
  }
  const [start, end] = items.map((item) => readWhole(item, 'layer_range', 0, problems));
  if (start === undefined || end === undefined) return undefined;
  if (start < end) return [start, end];
  problems.add(
    node.place,
    `layer_range [${start}, ${end}] has no layers`,
    'The end is not included and lies above the start.',
  );
  return undefined;
}

function readStatistics(
  fields: Fields,
  method: MethodSpec | undefined,
  context: MethodContext,
): SourceConfig['statistics'] {
  const key = method?.statistics?.key;
  for (const other of ['fisher', 'gram']) {
    if (!fields.values.has(other) || other === key || !method) continue;
    context.problems.add(
      fields.places.get(other)!,
      `${method.name} makes no use of ${other}`,
      `Remove it, or merge with ${other === 'gram' ? 'regmean' : 'fisher'}.`,
    );
  }
  if (key === undefined) return undefined;
  const node = fields.values.get(key);
  if (!isNull(node)) return readReference(node!, key, context);
  context.problems.add(
    fields.place,
    `this model has no ${key}`,
    `Add \`${key}:\`. ${method!.statistics!.doc}`,
  );
  return undefined;
}

export function parametersOf(fields: Fields, level: ParameterLevel, context: MethodContext): ParameterTable {
  const node = fields.values.get('parameters');
  return isNull(node) ? {} : readParameters(node!, level, context.method, context.problems);
}

function checkDistinct(sources: readonly SourceConfig[], problems: Problems): void {
  const seen = new Map<string, SourceConfig>();
  for (const source of sources) {
    // Layers of one model may be merged with others of its own.
    const key = `${modelKey(source.model)}\n${source.layers}`;
    const first = seen.get(key);
    if (first) {
      problems.add(
        source.place,
        `${formatModelReference(source.model)} is listed twice; first in line ${first.place.line}`,
        'Remove one of them, and give the other the sum of their weights.',
      );
    } else seen.set(key, source);
  }
}
