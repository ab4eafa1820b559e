import { configDifferences, describeDifference } from '../config-differences.js';
import { findMethod } from '../methods/registry.js';
import type { MethodSpec } from '../methods/spec.js';
import { checkCommonNames } from './common-names.js';
import type { MergeConfig, ModuleConfig, SliceConfig, SourceConfig } from './config.js';
import { configChanges, type LayerOrigin, untiedHead } from './config-changes.js';
import { configModels, configStatistics } from './documents.js';
import { mainStack } from './layer-names.js';
import { listNames } from './list-names.js';
import { missingHead, warnForeignHead } from './missing-head.js';
import { warnMixedDtypes } from './mixed-dtypes.js';
import { formatModelReference, type ModelReference, modelKey } from './model-reference.js';
import { moduleOwners } from './module-names.js';
import { checkOutputShapes } from './output-shapes.js';
import {
  type HeaderTensor,
  layeredTensors,
  type ModelHeaders,
  type OutputContext,
  type OutputTensor,
  unlayeredTensors,
} from './output-tensors.js';
import { Problems } from './problems.js';
import { TensorResolver } from './resolve-tensor.js';
import type { ResolvedMerge, ResolvedTensor } from './resolved.js';
import { withoutCopies } from './stored-copies.js';
import { ParameterLookup } from './tensor-values.js';

/** Headers of every model that a configuration names, in the orders of `configModels` and `configStatistics`. */
export interface OpenedModels {
  readonly models: readonly ModelHeaders[];
  readonly statistics?: readonly ModelHeaders[];
}

/**
 * Applies a configuration to the headers of its models: which tensors the output has, what each is made of,
 * with which numbers. Reads nothing. Throws WisemergeError with everything that is wrong in
 * `details.problems`: ERR_MERGE_FILE if some of it is in the configuration, else ERR_INCOMPATIBLE.
 */
export function resolveMerge(config: MergeConfig, opened: OpenedModels): ResolvedMerge {
  return new Resolver(config, opened).resolve();
}

class Resolver {
  readonly #config: MergeConfig;
  readonly #method: MethodSpec;
  readonly #opened: OpenedModels;
  readonly #problems: Problems;
  readonly #models: readonly ModelReference[];
  readonly #statistics: readonly ModelReference[];
  readonly #index: ReadonlyMap<string, number>;
  #owners: ReadonlyMap<string, ModuleConfig> = new Map();

  constructor(config: MergeConfig, opened: OpenedModels) {
    this.#config = config;
    this.#method = findMethod(config.method)!;
    this.#opened = opened;
    this.#problems = new Problems(config.file);
    this.#models = configModels(config);
    this.#statistics = configStatistics(config);
    this.#index = new Map(this.#models.map((model, i) => [modelKey(model), i]));
  }

  resolve(): ResolvedMerge {
    const { dtype, outDtype, tokenizer, chatTemplate, base } = this.#config;
    this.#checkAdapters();
    const donor = base ? this.#indexOf(base) : 0;
    this.#checkConfigs(donor);
    const outputs = this.#outputs(this.#opened.models[donor]!);
    const all = this.#tensors(outputs, donor);
    const tensors = withoutCopies(all, {
      models: this.#opened.models,
      donor,
      adapted: (model) => this.#models[model]!.lora !== undefined,
      problems: this.#problems,
    });
    const changes = {
      ...this.#configChanges(outputs, donor),
      ...untiedHead(tensors, this.#opened.models, donor, this.#problems),
    };
    this.#problems.throwIfAny();
    return {
      method: this.#method.name,
      models: this.#models,
      statistics: this.#statistics,
      ...(base && { base: donor }),
      donor,
      tensors,
      ...(dtype && { dtype }),
      ...(outDtype && { outDtype }),
      ...(tokenizer && { tokenizer }),
      ...(chatTemplate !== undefined && { chatTemplate }),
      configChanges: changes,
      warnings: [...this.#config.warnings, ...this.#problems.warnings],
    };
  }

  #indexOf(model: ModelReference): number {
    return this.#index.get(modelKey(model))!;
  }

  #headers = (source: SourceConfig): ModelHeaders => this.#opened.models[this.#indexOf(source.model)]!;

  #name = (model: ModelHeaders): string =>
    formatModelReference(this.#models[this.#opened.models.indexOf(model)]!);

  #context(donor: ModelHeaders): OutputContext {
    const [config, name, problems] = [this.#config, this.#name, this.#problems];
    return { config, donor, headers: this.#headers, name, problems };
  }

  #checkAdapters(): void {
    for (const [i, { path, isAdapter }] of this.#opened.models.entries()) {
      if (!isAdapter) continue;
      const name = formatModelReference(this.#models[i]!);
      this.#problems.addModel(
        'ERR_ADAPTER',
        path,
        undefined,
        `${path} is a PEFT adapter: low-rank factors, not weights`,
        `Write it behind its base model: base+${name}.`,
      );
    }
  }

  /** The output has the donor's configuration, and with it the donor's heads. */
  #checkConfigs(donor: number): void {
    const own = this.#opened.models[donor]!;
    for (const model of new Set(this.#opened.models)) {
      const differences = configDifferences(own.config, model.config);
      if (differences.length === 0) continue;
      const message = `config.json of ${this.#name(own)} and ${this.#name(model)} have ${differences.map(describeDifference).join(', ')}`;
      if (differences.some(({ incompatible }) => incompatible)) {
        this.#problems.addModel(
          'ERR_ARCHITECTURE_MISMATCH',
          model.path,
          undefined,
          message,
          'Equal shapes do not hold the same heads: merge models of one architecture.',
        );
      } else {
        this.#problems.warnings.push(`${this.#config.file}: ${message}; the output has those of the first`);
      }
    }
  }

  #belongs(module: ModuleConfig): (name: string) => boolean {
    return (name) => this.#owners.get(name) === module;
  }

  /** Tensors of all modules, each name once. */
  #outputs(donor: ModelHeaders): OutputTensor[] {
    const { modules } = this.#config;
    const names = new Set(this.#opened.models.flatMap(({ tensors }) => [...tensors.keys()]));
    const outputs = new Map<string, OutputTensor>();
    const claimed = new Set<string>();
    this.#owners = moduleOwners(modules, names);
    for (const module of modules) {
      const belongs = this.#belongs(module);
      const own = [...names].filter(belongs);
      if (own.length === 0) {
        this.#problems.add(
          module.place,
          `no tensor belongs to a module "${module.name}", and to no smaller one`,
          'Name modules as parts of tensor names do, such as language_model or vision_tower.',
        );
        continue;
      }
      for (const name of own) claimed.add(name);
      const [slice] = module.slices;
      if (!slice || slice.sources.length === 0) continue;
      const list = slice.sources.every(({ layers }) => layers)
        ? layeredTensors(this.#config, module, this.#headers, belongs, this.#problems)
        : this.#unlayered(module, slice, belongs);
      for (const output of list) if (!outputs.has(output.name)) outputs.set(output.name, output);
    }
    this.#copyUnclaimed(names, claimed, outputs);
    const all = [...outputs.values()];
    const head = missingHead(all, (name) => this.#owners.get(name), this.#context(donor));
    if (head) return [...all, head];
    warnForeignHead(all, this.#context(donor));
    return all;
  }

  #unlayered(module: ModuleConfig, slice: SliceConfig, belongs: (name: string) => boolean): OutputTensor[] {
    const { base } = this.#config;
    const headers = base && this.#opened.models[this.#indexOf(base)]!;
    const listed = base && slice.sources.some(({ model }) => modelKey(model) === modelKey(base));
    // A base that only gives configuration and tokenizer has no tensors in the output.
    const unlisted = listed || this.#method.base === 'donor' ? undefined : headers;
    const anyRows = this.#config.tokenizer !== undefined;
    const models = slice.sources.map(this.#headers);
    checkCommonNames(unlisted ? [unlisted, ...models] : models, belongs, this.#name, this.#problems);
    return unlayeredTensors(module, slice, headers, this.#headers, belongs, { base: unlisted, anyRows });
  }

  /** Position of the donor among the sources: layers take their entries of config.json from it. */
  #first(sources: readonly SourceConfig[]): number {
    const { base } = this.#config;
    const key = base && modelKey(base);
    return Math.max(
      sources.findIndex(({ model }) => modelKey(model) === key),
      0,
    );
  }

  /** What no module speaks of comes from the donor as it is. */
  #copyUnclaimed(
    names: ReadonlySet<string>,
    claimed: ReadonlySet<string>,
    outputs: Map<string, OutputTensor>,
  ): void {
    if (this.#config.modules.every(({ name }) => name === undefined)) return;
    const left = [...names].filter((name) => !claimed.has(name));
    if (left.length === 0) return;
    const model = this.#config.base ?? this.#models[0]!;
    const source = { place: this.#config.place, model, parameters: {} };
    const slice = { place: this.#config.place, sources: [source], parameters: {} };
    const module = { place: this.#config.place, slices: [slice], parameters: {} };
    for (const output of unlayeredTensors(
      module,
      slice,
      undefined,
      this.#headers,
      (name) => !claimed.has(name),
    )) {
      outputs.set(output.name, { ...output, copied: true });
    }
    this.#problems.warnings.push(
      `${this.#config.file}: ${left.length} tensors belong to no module and are copied from ${formatModelReference(model)}: ${listNames(left)}`,
    );
  }

  #tensors(outputs: readonly OutputTensor[], donor: number): ResolvedTensor[] {
    const lookup = new ParameterLookup(this.#config, this.#method, this.#problems);
    const resolver = new TensorResolver({
      config: this.#config,
      method: this.#method,
      lookup,
      problems: this.#problems,
      indexOf: (model) => this.#indexOf(model),
      model: (index) => this.#opened.models[index]!,
      name: (index) => formatModelReference(this.#models[index]!),
      donor,
      statisticsOf: (reference) => {
        const index = this.#statistics.findIndex((one) => modelKey(one) === modelKey(reference));
        return { index, headers: this.#opened.statistics![index]! };
      },
    });
    const tensors: ResolvedTensor[] = [];
    const fitting: OutputTensor[] = [];
    for (const output of outputs) {
      const tensor = resolver.resolve(output);
      if (!tensor) continue;
      tensors.push(tensor);
      fitting.push(output);
    }
    checkOutputShapes(fitting, this.#context(this.#opened.models[donor]!));
    warnMixedDtypes(tensors, this.#problems);
    resolver.warn();
    lookup.warnUnusedFilters();
    return tensors;
  }

  #configChanges(outputs: readonly OutputTensor[], donor: number): Record<string, unknown> {
    const model = this.#opened.models[donor]!;
    const changes: Record<string, unknown> = {};
    for (const module of this.#config.modules) {
      const { slices } = module;
      if (!slices[0]?.sources.every(({ layers }) => layers)) continue;
      const belongs = this.#belongs(module);
      const own = [...model.tensors.values()].filter((tensor) => belongs(tensor.name));
      const main = mainStack(own, model.config);
      if (!main || !outputs.some(({ layer }) => layer?.stack === main.stack)) continue;
      const origins = slices.flatMap(({ sources }): LayerOrigin[] => {
        const source = sources[this.#first(sources)]!;
        const [start, end] = source.layers!;
        return Array.from({ length: end - start }, (_, k) => ({
          model: this.#headers(source),
          layer: start + k,
        }));
      });
      Object.assign(changes, configChanges(model, main, origins, this.#problems.warnings));
    }
    return changes;
  }
}

/** The headers of a merge's result, for a document that names it as a model. */
export function resolvedHeaders(merge: ResolvedMerge, donor: ModelHeaders, path: string): ModelHeaders {
  const tensors = new Map<string, HeaderTensor>();
  for (const { name, dtype, shape } of merge.tensors) {
    tensors.set(name, { name, dtype, shape });
  }
  return { path, tensors, config: donor.config && applyChanges(donor.config, merge.configChanges) };
}

/** A configuration with values at dotted paths replaced. */
export function applyChanges<T extends Readonly<Record<string, unknown>>>(
  config: T,
  changes: ResolvedMerge['configChanges'],
): T {
  const changed: Record<string, unknown> = structuredClone(config);
  for (const [path, value] of Object.entries(changes)) {
    const keys = path.split('.');
    let part = changed;
    for (const key of keys.slice(0, -1)) part = part[key] as Record<string, unknown>;
    part[keys.at(-1)!] = value;
  }
  return changed as T;
}
