import { formatRange, inRange } from '../methods/document.js';
import type { MethodSpec, ParameterSpec } from '../methods/spec.js';
import { parameterNames, readEntries, readFields, readList } from './keys.js';
import type { Place, Problems } from './problems.js';
import { nearest } from './suggest.js';
import type { YamlNode } from './yaml-nodes.js';
import { toNumber } from './yaml-scalar.js';

/** What is written for one parameter at one level. */
export interface ParameterValue {
  readonly place: Place;
  /** The first whose filter matches a tensor's name gives its value. */
  readonly entries: readonly ParameterEntry[];
}

export interface ParameterEntry {
  /** A substring of tensor names, case-sensitive; absent for all. */
  readonly filter?: string;
  /** A gradient over the layers of a slice; a single value is constant. */
  readonly values: readonly number[];
  readonly place: Place;
}

export type ParameterTable = Readonly<Record<string, ParameterValue>>;

/**
 * The value of a gradient at `t` from 0 to 1, linear between its entries: s = t (m - 1), i = int(s), f = s - i,
 * (1 - f) g_i + f g_(i+1).
 */
export function evaluateGradient(values: readonly number[], t: number): number {
  const s = t * (values.length - 1);
  const i = Math.trunc(s);
  const f = s - i;
  const lower = (1 - f) * values[i]!;
  const upper = f * values[Math.min(values.length - 1, i + 1)]!;
  const value = lower + upper;
  // At weight 0 a model takes no part. The rounding of t would leave it a tiny weight, and sums may be divided by that.
  return Math.abs(value) < 1e-14 * (Math.abs(lower) + Math.abs(upper)) ? 0 : value;
}

/** The entry that holds for a tensor; undefined if no filter matches. */
export function matchEntry(value: ParameterValue | undefined, tensor: string): ParameterEntry | undefined {
  return value?.entries.find(({ filter }) => filter === undefined || tensor.includes(filter));
}

/** Where `parameters` stands. Global parameters make no sense with one model. */
export type ParameterLevel = 'the top level' | 'a module' | 'a slice' | 'a model';

/** Of no method any more, but in files of former days. */
const embedSlerp = 'say which embedding a token gets under tokenizer.tokens';

/** Reads a `parameters` mapping. `method` is undefined where the file names none that exists. */
export function readParameters(
  node: YamlNode,
  level: ParameterLevel,
  method: MethodSpec | undefined,
  problems: Problems,
): ParameterTable {
  const table: Record<string, ParameterValue> = {};
  for (const { key, keyPlace, value } of readEntries(node, `parameters of ${level}`, problems)) {
    const spec = method?.parameters.find(({ name }) => name === key);
    const why = key === 'embed_slerp' ? embedSlerp : spec?.ignored;
    if (why !== undefined) {
      problems.warn(keyPlace, `${key} has no effect: ${why}`);
    } else if (method && !spec && parameterNames.has(key)) {
      // Files of mergekit, which overlooks these, often keep them from one method to the next.
      problems.warn(keyPlace, `${key} has no effect with ${method.name}, ${parametersInWords(method)}`);
    } else if (method && !spec) {
      problems.add(keyPlace, `${method.name} has no parameter "${key}"`, unknownParameter(key, method));
    } else if (spec?.scope === 'global' && level === 'a model') {
      problems.add(
        keyPlace,
        `${key} is one value for all models and cannot be set for one of them`,
        'It belongs under `parameters` of a slice, of a module or at the top level.',
      );
    } else {
      const entries = readValue(value, key, spec, problems);
      if (entries.length > 0) table[key] = { place: keyPlace, entries };
    }
  }
  return table;
}

function unknownParameter(key: string, method: MethodSpec): string {
  const own = method.parameters.map(({ name }) => name);
  const near = nearest(key, own);
  if (near !== undefined) return `Did you mean "${near}"?`;
  return `Remove it: ${method.name} has ${own.length === 0 ? 'none' : own.join(', ')}.`;
}

function parametersInWords({ parameters }: MethodSpec): string {
  if (parameters.length === 0) return 'which has no parameters';
  return `whose parameters are ${parameters.map(({ name }) => name).join(', ')}`;
}

function readValue(
  node: YamlNode,
  name: string,
  spec: ParameterSpec | undefined,
  problems: Problems,
): ParameterEntry[] {
  const gradient = (value: YamlNode, what: string): number[] => {
    const items = value.kind === 'list' ? readList(value, what, problems) : [value];
    const numbers = items.map((item) => readNumber(item, what, spec, problems));
    if (numbers.some((number) => number === undefined)) return [];
    const values = numbers as number[];
    if (spec && spec.type !== 'number' && new Set(values).size > 1) {
      problems.add(
        value.place,
        `${what} is ${spec.type} and has no values between`,
        'Give one value, or filters.',
      );
    }
    return values;
  };
  if (node.kind === 'map') {
    problems.add(
      node.place,
      `${name} is a single mapping`,
      'Put a dash before `filter`: filters come as a list.',
    );
    return [];
  }
  if (node.kind !== 'list' || !node.items.some(({ kind }) => kind === 'map')) {
    const values = gradient(node, name);
    return values.length > 0 ? [{ values, place: node.place }] : [];
  }
  return node.items.flatMap((item): ParameterEntry[] => {
    if (item.kind !== 'map') {
      problems.add(
        item.place,
        `${name} mixes numbers and filters`,
        'Write `- value: …` for what has no filter.',
      );
      return [];
    }
    const fields = readFields(item, 'conditional', problems);
    const [filter, value] = [fields?.values.get('filter'), fields?.values.get('value')];
    if (value === undefined) {
      problems.add(
        item.place,
        `an entry of ${name} has no value`,
        'Add `value:` with a number or a list of numbers.',
      );
      return [];
    }
    if (filter && filter.kind !== 'scalar') {
      problems.add(
        filter.place,
        `a filter of ${name} must be text`,
        'Write a part of the tensor names it is for.',
      );
      return [];
    }
    const values = gradient(value, name);
    if (values.length === 0) return [];
    const text = filter && filter.value.kind !== 'null' ? filter.text : '*';
    return [{ ...(text !== '*' && { filter: text }), values, place: item.place }];
  });
}

function readNumber(
  node: YamlNode,
  what: string,
  spec: ParameterSpec | undefined,
  problems: Problems,
): number | undefined {
  const value = node.kind === 'scalar' ? toNumber(node.value) : undefined;
  if (node.kind !== 'scalar' || value === undefined) {
    const shown = node.kind === 'scalar' ? `"${node.text}"` : 'a list or mapping';
    const comma = node.kind === 'scalar' && /^\d+,\d+$/.test(node.text);
    const fix = comma ? `Write ${node.text.replace(',', '.')}.` : 'Write a number such as 0.5 or 1e-5.';
    problems.add(node.place, `${what} is ${shown}, not a number`, fix);
    return undefined;
  }
  if (!Number.isFinite(value)) {
    problems.add(node.place, `${what} is ${node.text}`, 'Write a finite number.');
    return undefined;
  }
  if (node.value.kind === 'number' && node.value.notation !== undefined) {
    problems.warn(node.place, `${what}: ${node.text} is ${value}, being ${node.value.notation} in YAML 1.1`);
  }
  if (spec?.type === 'boolean' && value !== 0 && value !== 1) {
    problems.add(node.place, `${what} is ${node.text}, not true or false`, 'Write true or false.');
  } else if (spec?.type === 'integer' && !Number.isInteger(value)) {
    problems.add(node.place, `${what} is ${node.text}, not a whole number`, 'Write a whole number.');
  } else if (spec?.range && !inRange(value, spec.range)) {
    problems.add(
      node.place,
      `${what} is ${value}; allowed is ${formatRange(spec.range)}`,
      'Choose a value in that range.',
    );
  }
  return value;
}
