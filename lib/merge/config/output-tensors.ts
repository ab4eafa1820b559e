import type { Config } from '../../checkpoint/checkpoint.js';
import type { TensorInfo } from '../../checkpoint/tensor.js';
import { findMethod } from '../methods/registry.js';
import { tiedSource } from '../tied.js';
import { isOutputHead, isVocabularyTensor } from '../vocabulary-tensors.js';
import type { MergeConfig, ModuleConfig, SliceConfig, SourceConfig } from './config.js';
import { endsInHead } from './layer-counts.js';
import {
  countLayers,
  followsLayers,
  layerTensor,
  mainStack,
  moduleBeside,
  splitLayer,
} from './layer-names.js';
import { isCopied } from './lone-source.js';
import { formatModelReference } from './model-reference.js';
import type { Problems } from './problems.js';
import type { ResolvedTensor } from './resolved.js';

/** What the headers of a tensor say. */
export type HeaderTensor = Pick<TensorInfo, 'name' | 'dtype' | 'shape'>;

/** A model as far as a plan needs it; a `Checkpoint` is one. */
export interface ModelHeaders {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, HeaderTensor>;
  readonly config: Config | undefined;
  readonly isAdapter?: boolean;
}

/** One tensor of the output: which tensors it comes from, and where it stands between the layers. */
export interface OutputTensor {
  readonly name: string;
  readonly module: ModuleConfig;
  readonly slice: SliceConfig;
  /** The tensor of every source of the slice; undefined where the source has none. */
  readonly inputs: readonly (HeaderTensor | undefined)[];
  /** Position of gradients. */
  readonly t: number;
  /** Of the layers of the output: 0 before them, 1 after them. */
  readonly depth: number;
  readonly layer?: ResolvedTensor['layer'];
  /** Taken as it is, whatever the method. */
  readonly copied?: true;
}

/** What a look at the whole output needs to know of its merge. */
export interface OutputContext {
  readonly config: MergeConfig;
  /** Gives configuration and tokenizer. */
  readonly donor: ModelHeaders;
  readonly headers: (source: SourceConfig) => ModelHeaders;
  /** A model as the configuration writes it. */
  readonly name: (model: ModelHeaders) => string;
  readonly problems: Problems;
}

type Headers = (source: SourceConfig) => ModelHeaders;
type Belongs = (name: string) => boolean;

/** t and depth of layer `index` of `count`. */
const position = (index: number, count: number): number => (count === 1 ? 1 : index / (count - 1));

/**
 * Everything that a module without layer ranges gives: the union of its models' tensors, in the order of the
 * donor. `base` takes part without being a source. `anyRows`: vocabularies may differ in size.
 */
export function unlayeredTensors(
  module: ModuleConfig,
  slice: SliceConfig,
  donor: ModelHeaders | undefined,
  headers: Headers,
  belongs: Belongs,
  { base, anyRows = false }: { base?: ModelHeaders | undefined; anyRows?: boolean } = {},
): OutputTensor[] {
  const models = slice.sources.map(headers);
  const all = base ? [...models, base] : models;
  const ordered = [...all.filter((model) => model === donor), ...all.filter((model) => model !== donor)];
  const names = [...new Set(ordered.flatMap(({ tensors }) => [...tensors.keys()]))].filter(belongs);
  const counts = countLayers(names);
  return names.map((name) => {
    const layer = splitLayer(name);
    const count = layer && counts.get(layer.stack)!;
    const t = layer ? position(layer.index, count!) : 0;
    return {
      name,
      module,
      slice,
      inputs: inputsOf(name, models, all, anyRows),
      t,
      depth: layer ? t : followsLayers(name) ? 1 : 0,
      ...(layer && { layer: { stack: layer.stack, index: layer.index, count: count! } }),
    };
  });
}

/** A model that ties its output head to its embedding has that one for it. */
function inputsOf(
  name: string,
  models: readonly ModelHeaders[],
  all: readonly ModelHeaders[],
  anyRows: boolean,
): (HeaderTensor | undefined)[] {
  const holder = all.find(({ tensors }) => tensors.has(name))!.tensors.get(name)!;
  return models.map((model) => model.tensors.get(name) ?? tiedSource(holder, model, { anyRows }));
}

/**
 * Layers of several models one after another. What comes before the layers is of the first slice, what comes
 * after them of the last one; gradients are 0 in both.
 */
export function layeredTensors(
  config: MergeConfig,
  module: ModuleConfig,
  headers: Headers,
  belongs: Belongs,
  problems: Problems,
): OutputTensor[] {
  const { slices } = module;
  const [head, tail] = [slices[0]!, slices.at(-1)!];
  const donor = headers(head.sources[0]!);
  const main = mainStack(
    [...donor.tensors.values()].filter(({ name }) => belongs(name)),
    donor.config,
  );
  if (!main) {
    problems.add(
      head.place,
      `no layers are to be seen in the names of the tensors of ${donor.path}`,
      'Merge such models with `models` instead of `slices`.',
    );
    return [];
  }
  const { stack } = main;
  const total = slices.reduce((sum, { sources }) => sum + sources[0]!.layers![1] - sources[0]!.layers![0], 0);
  const copied = (slice: SliceConfig): { copied?: true } =>
    isCopied(slice, slice.base ?? config.base, findMethod(config.method)!) ? { copied: true } : {};
  const outside = (slice: SliceConfig): OutputTensor[] =>
    unlayeredTensors(module, slice, undefined, headers, belongs, {
      anyRows: config.tokenizer !== undefined,
    })
      .filter(({ name }) => splitLayer(name)?.stack !== stack)
      .map((output) => ({ ...output, ...copied(slice) }));
  const start = outside(head);
  const others = new Set(start.flatMap(({ layer }) => layer?.stack ?? []));
  const beside = [...others].map((other) => `${moduleBeside(stack, other)}.`);
  // What is in another stack's module goes with that stack, and so do a head behind it and the biases of its logits.
  const headless = !endsInHead(stack, [stack, ...others]);
  const isLast = ({ name, inputs }: OutputTensor): boolean =>
    followsLayers(name) &&
    !splitLayer(name) &&
    !beside.some((prefix) => name.startsWith(prefix)) &&
    !(headless && (isOutputHead(name) || isVocabularyTensor(name, inputs.find((one) => one)!.shape)));
  const before = start.filter((tensor) => !isLast(tensor));
  if (others.size > 0) {
    problems.warnings.push(
      `layer ranges are those of ${stack}; ${[...others].join(', ')} ${others.size === 1 ? 'is' : 'are'} merged whole, from the models of the first slice`,
    );
  }
  const layers: OutputTensor[] = [];
  const ofFirst = (rest: string): boolean => onlyFirst(donor, stack, rest);
  let offset = 0;
  for (const slice of slices) {
    const [start, end] = slice.sources[0]!.layers!;
    checkRanges(slice, stack, headers, problems);
    for (let k = 0; k < end - start; k++) {
      const place = { index: offset + k, total };
      const tensors = layerTensors(module, slice, k, end - start, stack, place, headers, ofFirst);
      layers.push(...tensors.map((output) => ({ ...output, ...copied(slice) })));
    }
    offset += end - start;
  }
  warnUnused(config, module, stack, headers, problems);
  return [...before, ...layers, ...outside(tail).filter(isLast)];
}

function layerTensors(
  module: ModuleConfig,
  slice: SliceConfig,
  k: number,
  length: number,
  stack: string,
  output: { index: number; total: number },
  headers: Headers,
  ofFirst: (rest: string) => boolean,
): OutputTensor[] {
  const rows = slice.sources.map((source) => {
    const index = source.layers![0] + k;
    const byRest = new Map<string, HeaderTensor>();
    const read = (from: number, wanted: (rest: string) => boolean): void => {
      for (const tensor of layerIndex(headers(source), stack).get(from) ?? []) {
        const { rest } = splitLayer(tensor.name)!;
        if (wanted(rest)) byRest.set(rest, tensor);
      }
    };
    read(index, (rest) => !ofFirst(rest));
    if (output.index === 0) read(0, ofFirst);
    return byRest;
  });
  const rests = new Set(rows.flatMap((row) => [...row.keys()]));
  return [...rests].map((rest) => ({
    name: layerTensor(stack, output.index, rest),
    module,
    slice,
    inputs: rows.map((row) => row.get(rest)),
    t: position(k, length),
    depth: position(output.index, output.total),
    layer: { stack, index: output.index, count: output.total },
  }));
}

/** Whether the first layer alone has a tensor that all layers of a stack use: position biases of T5 and WavLM. */
function onlyFirst(model: ModelHeaders, stack: string, rest: string): boolean {
  if (!/\.(relative_attention_bias|rel_attn_embed)\.weight$/.test(rest)) return false;
  const holders = [...layerIndex(model, stack)].filter(([, tensors]) =>
    tensors.some(({ name }) => name.endsWith(rest)),
  );
  return holders.length === 1 && holders[0]![0] === 0;
}

/** Tensors of one stack by layer; kept, since every layer of every slice asks. */
const layerIndexes = new WeakMap<ModelHeaders, Map<string, Map<number, HeaderTensor[]>>>();

function layerIndex(model: ModelHeaders, stack: string): Map<number, HeaderTensor[]> {
  let stacks = layerIndexes.get(model);
  if (!stacks) {
    stacks = new Map();
    for (const tensor of model.tensors.values()) {
      const layer = splitLayer(tensor.name);
      if (!layer) continue;
      const layers = stacks.get(layer.stack) ?? new Map<number, HeaderTensor[]>();
      stacks.set(layer.stack, layers);
      const list = layers.get(layer.index) ?? [];
      layers.set(layer.index, list);
      list.push(tensor);
    }
    layerIndexes.set(model, stacks);
  }
  return stacks.get(stack) ?? new Map();
}

function checkRanges(slice: SliceConfig, stack: string, headers: Headers, problems: Problems): void {
  for (const source of slice.sources) {
    const { model, layers, place } = source;
    const count = [...layerIndex(headers(source), stack).keys()].reduce(
      (most, i) => Math.max(most, i + 1),
      0,
    );
    if (layers![1] <= count) continue;
    problems.add(
      place,
      `layer_range ends at ${layers![1]}; ${formatModelReference(model)} has ${count} layers in ${stack}`,
      `Give a range within [0, ${count}]; its end is not included.`,
    );
  }
}

/** Layers that no slice takes are left out on purpose, or by an error in a range: they are named. */
function warnUnused(
  { file }: MergeConfig,
  { slices }: ModuleConfig,
  stack: string,
  headers: Headers,
  problems: Problems,
): void {
  const used = new Map<string, Set<number>>();
  const models = new Map<string, ModelHeaders>();
  for (const source of slices.flatMap(({ sources }) => sources)) {
    const name = formatModelReference(source.model);
    models.set(name, headers(source));
    const layers = used.get(name) ?? new Set();
    used.set(name, layers);
    for (let i = source.layers![0]; i < source.layers![1]; i++) layers.add(i);
  }
  for (const [name, model] of models) {
    const unused = [...layerIndex(model, stack).keys()].filter((i) => !used.get(name)!.has(i));
    if (unused.length === 0) continue;
    problems.warnings.push(`${file}: no slice takes ${formatRanges(unused)} of ${name}`);
  }
}

/** `layers 0-3, 7`. */
export function formatRanges(indices: readonly number[]): string {
  const sorted = [...indices].sort((a, b) => a - b);
  const ranges: [number, number][] = [];
  for (const i of sorted) {
    const last = ranges.at(-1);
    if (last && last[1] === i - 1) last[1] = i;
    else ranges.push([i, i]);
  }
  const text = ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(', ');
  return `${sorted.length === 1 ? 'layer' : 'layers'} ${text}`;
}
