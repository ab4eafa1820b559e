import type { MethodSpec, ParameterSpec } from '../methods/spec.js';
import type { MergeConfig } from './config.js';
import { formatModelReference } from './model-reference.js';
import type { OutputTensor } from './output-tensors.js';
import { evaluateGradient, matchEntry, type ParameterEntry, type ParameterTable } from './parameter-value.js';
import type { Problems } from './problems.js';

/**
 * Looks up parameters. Precedence: source, slice, module, top level, default; at each level the first entry
 * whose filter matches, and none falls through to the next level.
 */
export class ParameterLookup {
  readonly #config: MergeConfig;
  readonly #method: MethodSpec;
  readonly #problems: Problems;
  readonly #used = new Set<ParameterEntry>();
  /** Required parameters that no filter gave, each reported once. */
  readonly #missing = new Set<string>();

  constructor(config: MergeConfig, method: MethodSpec, problems: Problems) {
    this.#config = config;
    this.#method = method;
    this.#problems = problems;
  }

  /** Global parameters of an output tensor; filters are matched with its own name. */
  global({ slice, module, name, t }: OutputTensor): Record<string, number> {
    const levels = [slice.parameters, module.parameters, this.#config.parameters];
    return this.#values('global', levels, name, t, () => {
      return { place: this.#config.methodPlace, what: `"${name}"` };
    });
  }

  /** Parameters of one of its inputs; filters are matched with `input`. */
  model({ slice, module, t }: OutputTensor, source: number, input: string): Record<string, number> {
    const { model, place, parameters } = slice.sources[source]!;
    const levels = [parameters, slice.parameters, module.parameters, this.#config.parameters];
    return this.#values('model', levels, input, t, () => {
      return { place, what: `"${input}" of ${formatModelReference(model)}` };
    });
  }

  #values(
    scope: ParameterSpec['scope'],
    levels: readonly ParameterTable[],
    name: string,
    t: number,
    where: () => { place: { line: number; column: number }; what: string },
  ): Record<string, number> {
    const values: Record<string, number> = {};
    for (const spec of this.#method.parameters) {
      if (spec.scope !== scope || spec.ignored !== undefined) continue;
      const value = this.#find(levels, spec.name, name, t) ?? spec.default;
      if (value !== undefined) values[spec.name] = value;
      else if (!spec.optional) this.#reportMissing(spec.name, where());
    }
    return values;
  }

  #find(levels: readonly ParameterTable[], parameter: string, name: string, t: number): number | undefined {
    for (const table of levels) {
      const entry = matchEntry(table[parameter], name);
      if (!entry) continue;
      this.#used.add(entry);
      return evaluateGradient(entry.values, t);
    }
    return undefined;
  }

  #reportMissing(
    parameter: string,
    { place, what }: { place: { line: number; column: number }; what: string },
  ): void {
    const key = `${parameter} ${place.line} ${place.column}`;
    if (this.#missing.has(key)) return;
    this.#missing.add(key);
    this.#problems.add(
      place,
      `no filter of ${parameter} matches ${what}, and ${this.#method.name} needs it`,
      `Add an entry without a filter at the end of the list, or ${parameter} at the top level.`,
    );
  }

  /** Warns of filters that matched no tensor: most are misspelt. */
  warnUnusedFilters(): void {
    const { modules, parameters } = this.#config;
    const tables = [
      parameters,
      ...modules.flatMap((module) => [
        module.parameters,
        ...module.slices.flatMap((slice) => [
          slice.parameters,
          ...slice.sources.map((source) => source.parameters),
        ]),
      ]),
    ];
    for (const [parameter, value] of tables.flatMap((table) => Object.entries(table))) {
      for (const entry of value.entries) {
        if (entry.filter === undefined || this.#used.has(entry)) continue;
        this.#problems.warn(entry.place, `the filter "${entry.filter}" of ${parameter} decides no tensor`);
      }
    }
  }
}
