import { WisemergeError } from '../../errors.js';
import { findMethod } from '../methods/registry.js';
import type { ParameterValues } from '../methods/spec.js';
import { splitLayer } from './layer-names.js';
import { listNames } from './list-names.js';
import { formatModelReference } from './model-reference.js';
import type { OpenedMerge } from './open.js';
import { formatRanges } from './output-tensors.js';
import type { ResolvedMerge, ResolvedTensor } from './resolved.js';

/** Tensors that are made of the same models with the same numbers. */
export interface ExplainedGroup {
  /** In words: `layers 0-7`, `layers 0-7 self_attn.q_proj.weight`, `lm_head.weight`. */
  readonly where: string;
  readonly tensors: number;
  readonly method: string;
  readonly kernel: string;
  /** Source tensors' layers where they are others than the output's: `layers 8-15`. */
  readonly inputs: readonly {
    readonly model: string;
    readonly layers?: string;
    readonly parameters: ParameterValues;
  }[];
  readonly base?: string;
  readonly parameters: ParameterValues;
  readonly mustEqual: boolean;
}

/** A merge in words, for people (`lines`) and for programs (the rest). */
export interface Explanation {
  readonly method: string;
  readonly title: string;
  readonly formula: readonly string[];
  readonly models: readonly string[];
  readonly base?: string;
  readonly donor: string;
  readonly tensors: number;
  readonly groups: readonly ExplainedGroup[];
  readonly configChanges: Readonly<Record<string, unknown>>;
  readonly warnings: readonly string[];
  /** How the result differs from that of mergekit 0.1.4. */
  readonly differences: readonly string[];
  readonly lines: readonly string[];
}

/**
 * Says what a merge will do, of a document as it is opened or of the merge in it. Layers in a row that are treated alike
 * share a line. Throws ERR_USAGE for anything else.
 */
export function explainMerge(given: OpenedMerge | ResolvedMerge): Explanation {
  const merge = resolvedOf(given);
  const { title, formula, differences, name } = findMethod(merge.method)!;
  const models = merge.models.map(formatModelReference);
  const groups = groupTensors(merge);
  const explanation = {
    method: name,
    title,
    formula,
    models,
    ...(merge.base !== undefined && { base: models[merge.base]! }),
    donor: models[merge.donor]!,
    tensors: merge.tensors.length,
    groups,
    configChanges: merge.configChanges,
    warnings: merge.warnings,
    differences,
  };
  return { ...explanation, lines: describe(explanation, merge) };
}

/** Callers without types may pass anything. */
function resolvedOf(given: OpenedMerge | ResolvedMerge | undefined): ResolvedMerge {
  const merge = typeof given === 'object' && given && 'merge' in given ? given.merge : given;
  if (Array.isArray(merge?.tensors) && findMethod(merge.method)) return merge;
  throw new WisemergeError('ERR_USAGE', 'explainMerge was not given a document of a merge file', {
    hint: 'Give one of the documents that openMergeFile returns.',
  });
}

function describe(explanation: Omit<Explanation, 'lines'>, merge: ResolvedMerge): string[] {
  const { method, title, formula, models, base, donor, groups, configChanges, differences, warnings } =
    explanation;
  const lines = [`method ${method}: ${title}`, ...formula.map((line) => `  ${line}`), 'models'];
  for (const model of models) lines.push(`  ${model}${model === base ? ' (base)' : ''}`);
  lines.push(`configuration and tokenizer from ${donor}`);
  const { dtype, outDtype, tokenizer, vocabulary, chatTemplate } = merge;
  lines.push(
    `dtype: ${outDtype ?? dtype ?? 'that of each tensor in the base model, or else in the first that has it'}`,
  );
  if (tokenizer) {
    const { source, tokens } = tokenizer;
    const from = typeof source === 'string' ? source : formatModelReference(source);
    const size = vocabulary ? ` of ${vocabulary.tokens} tokens in ${vocabulary.rows} rows` : '';
    const ruled = tokens.length > 0 ? `, ${tokens.length} with a source under tokens` : '';
    lines.push(`vocabulary: ${from}${size}${ruled}`);
  }
  if (chatTemplate !== undefined)
    lines.push(`chat template: ${chatTemplate.length < 20 ? chatTemplate : 'as given'}`);
  const short = shortNames(models);
  lines.push(`${merge.tensors.length} tensors`, ...groups.map((group) => `  ${describeGroup(group, short)}`));
  for (const [path, value] of Object.entries(configChanges))
    lines.push(`config.json: ${path} = ${JSON.stringify(value)}`);
  for (const warning of warnings) lines.push(`warning: ${warning}`);
  if (differences.length > 0)
    lines.push('differences from mergekit 0.1.4', ...differences.map((line) => `  ${line}`));
  return lines;
}

/** Last parts of paths, where they tell the models apart. */
function shortNames(models: readonly string[]): ReadonlyMap<string, string> {
  const last = (model: string): string => model.replace(/\/+$/, '').split('/').at(-1)!;
  const distinct = new Set(models.map(last)).size === models.length;
  return new Map(models.map((model) => [model, distinct ? last(model) : model]));
}

function describeGroup(
  { where, tensors, method, kernel, inputs, parameters, mustEqual }: ExplainedGroup,
  short: ReadonlyMap<string, string>,
): string {
  const count = `${where} (${tensors})`;
  const sources = inputs.map(({ model, layers, parameters: own }) => {
    const numbers = formatNumbers(own);
    return `${short.get(model) ?? model}${layers === undefined ? '' : ` ${layers}`}${numbers === '' ? '' : ` ${numbers}`}`;
  });
  if (mustEqual) return `${count}: integers, must be equal in ${sources.join(', ')}`;
  const numbers = formatNumbers(parameters);
  const how = kernel === method ? method : `${method} as ${kernel}`;
  return `${count}: ${how}${numbers === '' ? '' : ` ${numbers}`}${sources.length === 0 ? '' : ` of ${sources.join(', ')}`}`;
}

/** Twelve digits, which undo the rounding of gradients for readers: 0.30000000000000004 is 0.3. */
function formatNumbers(values: ParameterValues): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${Number(value.toPrecision(12))}`)
    .join(' ');
}

/** What a tensor's line says besides its name; the layer of an input counts relative to the output's. */
function signature({ method, kernel, inputs, base, parameters, mustEqual, layer }: ResolvedTensor): string {
  const sources = inputs.map(({ model, tensor, parameters: own }) => {
    const from = splitLayer(tensor);
    return [model, from && layer ? from.index - layer.index : 0, own];
  });
  return JSON.stringify([method, kernel, sources, base?.model, parameters, mustEqual]);
}

function groupTensors(merge: ResolvedMerge): ExplainedGroup[] {
  const groups: ExplainedGroup[] = [];
  // Tensors outside layers, before and after them, by what is done to them.
  let loose: ResolvedTensor[] = [];
  const flushLoose = (): void => {
    for (const tensors of groupBy(loose, signature).values()) {
      groups.push(
        explainGroup(
          merge,
          listNames(
            tensors.map(({ name }) => name),
            4,
          ),
          tensors,
        ),
      );
    }
    loose = [];
  };
  for (const [stack, tensors] of chunkByStack(merge.tensors)) {
    if (stack === undefined) loose = loose.concat(tensors);
    else {
      flushLoose();
      for (const group of layerGroups(merge, tensors)) groups.push(group);
    }
  }
  flushLoose();
  return groups;
}

/** Each stack once, where its first tensor stands: files need not keep layers together. */
function chunkByStack(tensors: readonly ResolvedTensor[]): [string | undefined, ResolvedTensor[]][] {
  const chunks: [string | undefined, ResolvedTensor[]][] = [];
  const stacks = new Map<string, ResolvedTensor[]>();
  for (const tensor of tensors) {
    const stack = tensor.layer?.stack;
    const known = stack === undefined ? undefined : stacks.get(stack);
    const last = chunks.at(-1);
    if (known) known.push(tensor);
    else if (stack === undefined && last && last[0] === undefined) last[1].push(tensor);
    else {
      const list = [tensor];
      chunks.push([stack, list]);
      if (stack !== undefined) stacks.set(stack, list);
    }
  }
  return chunks;
}

function layerGroups(merge: ResolvedMerge, tensors: readonly ResolvedTensor[]): ExplainedGroup[] {
  const layers = [...groupBy(tensors, ({ layer }) => layer!.index)].sort(([a], [b]) => a - b);
  const rest = ({ name }: ResolvedTensor): string => splitLayer(name)!.rest.replace(/^\./, '');
  const pattern = (list: readonly ResolvedTensor[]): string =>
    list
      .map((tensor) => `${rest(tensor)}\n${signature(tensor)}`)
      .sort()
      .join('\n');
  const runs: { key: string; tensors: ResolvedTensor[]; indices: number[] }[] = [];
  for (const [index, list] of layers) {
    const key = pattern(list);
    const last = runs.at(-1);
    if (last?.key === key && last.indices.at(-1) === index - 1) {
      for (const tensor of list) last.tensors.push(tensor);
      last.indices.push(index);
    } else runs.push({ key, tensors: [...list], indices: [index] });
  }
  const several = new Set(merge.tensors.flatMap(({ layer }) => layer?.stack ?? [])).size > 1;
  return runs.flatMap(({ tensors: list, indices }) => {
    const place = `${several ? `${list[0]!.layer!.stack} ` : ''}${formatRanges(indices)}`;
    const alike = [...groupBy(list, signature).values()];
    if (alike.length === 1) return [explainGroup(merge, place, list)];
    // The largest group is "the rest", so that the exceptions are what is read.
    const largest = alike.reduce((most, one) => (one.length > most.length ? one : most));
    const named = alike.filter((one) => one !== largest);
    return [...named, largest].map((one) => {
      const names = condense(one.map(rest), list.map(rest));
      return explainGroup(merge, `${place} ${one === largest ? 'all else' : listNames(names, 4)}`, one);
    });
  });
}

/** Names with `*` for numbers where all of `among` that differ in those alone are meant: experts. */
function condense(names: readonly string[], among: readonly string[]): string[] {
  const star = (name: string): string => name.replaceAll(/\.\d+(?=\.)/g, '.*');
  const [total, own] = [groupBy(among, star), groupBy(names, star)];
  return [...own].flatMap(([pattern, list]) => {
    const distinct = [...new Set(list)];
    return distinct.length > 1 && list.length === total.get(pattern)!.length ? [pattern] : distinct;
  });
}

function explainGroup(
  merge: ResolvedMerge,
  where: string,
  tensors: readonly ResolvedTensor[],
): ExplainedGroup {
  const [first] = tensors;
  const { method, kernel, inputs, base, parameters, mustEqual } = first!;
  return {
    where,
    tensors: tensors.length,
    method,
    kernel,
    inputs: inputs.map(({ model, parameters: own }, i) => {
      const layers = tensors.map((tensor) => [
        tensor.layer?.index,
        splitLayer(tensor.inputs[i]!.tensor)?.index,
      ]);
      const moved = layers.some(([to, from]) => to !== from);
      const from = [...new Set(layers.flatMap(([, index]) => index ?? []))];
      return {
        model: formatModelReference(merge.models[model]!),
        ...(moved && from.length > 0 && { layers: formatRanges(from) }),
        parameters: own,
      };
    }),
    ...(base && { base: formatModelReference(merge.models[base.model]!) }),
    parameters,
    mustEqual: mustEqual ?? false,
  };
}

function groupBy<T, K>(items: readonly T[], key: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const own = key(item);
    const list = groups.get(own);
    if (list) list.push(item);
    else groups.set(own, [item]);
  }
  return groups;
}
