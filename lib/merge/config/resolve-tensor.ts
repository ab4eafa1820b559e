import { dtypeInfo, formatShape, sameShape } from '../../checkpoint/tensor.js';
import type { DTypeName } from '../../native.js';
import { bufferWarning, isBatchCounter, isDerivedBuffer } from '../derived-buffers.js';
import type { MethodSpec, TensorValues } from '../methods/spec.js';
import { quantisation } from '../quantised.js';
import { storedTwice, tiedSource } from '../tied.js';
import { isVocabularyTensor, vocabularyAxis } from '../vocabulary-tensors.js';
import type { MergeConfig, SourceConfig } from './config.js';
import { listNames } from './list-names.js';
import { type ModelReference, modelKey } from './model-reference.js';
import type { HeaderTensor, ModelHeaders, OutputTensor } from './output-tensors.js';
import type { Problems } from './problems.js';
import { resolveStatistics } from './resolve-statistics.js';
import type { ResolvedInput, ResolvedTensor } from './resolved.js';
import type { ParameterLookup } from './tensor-values.js';

/** What resolving one tensor needs to know of the whole. */
export interface TensorContext {
  readonly config: MergeConfig;
  readonly method: MethodSpec;
  readonly lookup: ParameterLookup;
  readonly problems: Problems;
  readonly indexOf: (model: ModelReference) => number;
  readonly model: (index: number) => ModelHeaders;
  readonly name: (index: number) => string;
  /** The model that gives the output its configuration. */
  readonly donor: number;
  readonly statisticsOf: (model: ModelReference) => { index: number; headers: ModelHeaders };
}

/** A tensor with its model and, for those that are merged, its place among the sources. */
interface Present {
  readonly model: number;
  readonly source: number;
  readonly tensor: HeaderTensor;
}

/** Turns output tensors into what their kernels need, one by one, and gathers what is worth a warning. */
export class TensorResolver {
  readonly #context: TensorContext;
  /** Names of tensors that a model lacks, by model. */
  readonly #absent = new Map<number, string[]>();
  readonly #copied: string[] = [];
  /** Derived buffers that not all models have. */
  readonly #buffers = { kept: [] as string[], leftOut: [] as string[] };
  readonly #findings = new Map<string, string[]>();
  readonly #errors = new Set<string>();

  constructor(context: TensorContext) {
    this.#context = context;
  }

  /** Undefined after a problem, and of a buffer that is left out. */
  resolve(output: OutputTensor): ResolvedTensor | undefined {
    const { method, config } = this.#context;
    const baseReference = output.slice.base ?? config.base;
    const baseModel =
      method.base === 'donor' || !baseReference || output.copied
        ? undefined
        : this.#context.indexOf(baseReference);
    const inputs: Present[] = [];
    const absent: number[] = [];
    let base: Present | undefined;
    for (const [source, { model }] of output.slice.sources.entries()) {
      const tensor = output.inputs[source];
      const index = this.#context.indexOf(model);
      if (!tensor) absent.push(index);
      else if (index === baseModel) base = { model: index, source, tensor };
      else inputs.push({ model: index, source, tensor });
    }
    if (!base && baseModel !== undefined && !isListed(output.slice.sources, baseReference!)) {
      const model = this.#context.model(baseModel);
      const anyRows = config.tokenizer !== undefined;
      const tied =
        inputs[0] && tiedSource({ name: output.name, shape: inputs[0].tensor.shape }, model, { anyRows });
      const tensor = model.tensors.get(output.name) ?? tied;
      if (tensor) base = { model: baseModel, source: -1, tensor };
      else absent.push(baseModel);
    }
    const all = base ? [base, ...inputs] : inputs;
    if (absent.length > 0 && all[0] && isDerivedBuffer(all[0].tensor)) return this.#buffer(output, all);
    if (absent.length === 0 && all[0] && isBatchCounter(all[0].tensor)) return this.#counter(output, all);
    for (const model of absent) note(this.#absent, model, output.name);
    if (!this.#checkInputs(output, all)) return undefined;
    const reference = all[0]!.tensor;
    const common = this.#common(output, reference, all);
    if (!common) return undefined;
    if (output.copied) return this.#copy(common, all[0]!);
    if (common.mustEqual) {
      const equal = inputs.map(({ model, tensor }) => ({ model, tensor: tensor.name, parameters: {} }));
      const withBase = base && { base: { model: base.model, tensor: base.tensor.name } };
      return {
        ...common,
        method: 'passthrough',
        kernel: 'passthrough',
        inputs: equal,
        parameters: {},
        ...withBase,
      };
    }
    if (all.length === 1 && (base || method.lone)) {
      if (output.slice.sources.length > 1 || baseModel !== undefined) this.#copied.push(output.name);
      return this.#copy(common, all[0]!);
    }
    if (!this.#checkCount(output, inputs.length, base, baseModel)) return undefined;
    return this.#merged(output, common, inputs, base);
  }

  /** A derived buffer that some of the models lack goes with the configuration, as the donor has it. */
  #buffer(output: OutputTensor, all: readonly Present[]): ResolvedTensor | undefined {
    const own = all.find(({ model }) => model === this.#context.donor);
    const common = own && this.#common(output, own.tensor, [own]);
    (common ? this.#buffers.kept : this.#buffers.leftOut).push(output.name);
    return common && this.#copy(common, own);
  }

  /** Counters of batches differ between models and are no indices: the output has the donor's. */
  #counter(output: OutputTensor, all: readonly Present[]): ResolvedTensor | undefined {
    const own = all.find(({ model }) => model === this.#context.donor) ?? all[0]!;
    const common = this.#checkInputs(output, all) && this.#common(output, own.tensor, [own]);
    return common ? this.#copy(common, own) : undefined;
  }

  /** What needs no parameters. Undefined if dtypes cannot go together. */
  #common(
    output: OutputTensor,
    reference: HeaderTensor,
    all: readonly Present[],
  ): Pick<ResolvedTensor, 'name' | 'shape' | 'dtype' | 'layer' | 'remapped' | 'mustEqual'> | undefined {
    const { config, problems, model } = this.#context;
    const { kind } = dtypeInfo(reference.dtype);
    const other = all.find(({ tensor }) => {
      const same = dtypeInfo(tensor.dtype).kind === kind;
      return !same || ((kind === 'integer' || kind === 'boolean') && tensor.dtype !== reference.dtype);
    });
    if (other) {
      problems.addModel(
        'ERR_DTYPE_MISMATCH',
        model(other.model).path,
        output.name,
        `"${output.name}": dtype ${reference.dtype} in ${model(all[0]!.model).path}, ${other.tensor.dtype} in ${model(other.model).path}`,
        'Only float dtypes can be mixed. Save the models with the same dtypes.',
      );
      return undefined;
    }
    const written = config.outDtype ?? config.dtype ?? reference.dtype;
    const dtype: DTypeName = kind === 'float' ? written : reference.dtype;
    return {
      name: output.name,
      shape: reference.shape,
      dtype,
      ...(output.layer && { layer: output.layer }),
      ...(config.tokenizer &&
        isVocabularyTensor(output.name, reference.shape) && { remapped: true as const }),
      ...((kind === 'integer' || kind === 'boolean') && all.length > 1 && { mustEqual: true as const }),
    };
  }

  #copy(
    common: Omit<ResolvedTensor, 'method' | 'kernel' | 'inputs' | 'parameters'>,
    { model, tensor }: Present,
  ): ResolvedTensor {
    const inputs = [{ model, tensor: tensor.name, parameters: {} }];
    return { ...common, method: 'passthrough', kernel: 'passthrough', inputs, parameters: {} };
  }

  /** Quantised data and shapes that differ. */
  #checkInputs(output: OutputTensor, all: readonly Present[]): boolean {
    const { problems, model, config } = this.#context;
    const [first] = all;
    if (!first) return false;
    const axis = vocabularyAxis(output.name, first.tensor.shape);
    let fine = true;
    for (const present of all) {
      const { tensor } = present;
      const { path } = model(present.model);
      const why = quantisation(tensor, model(present.model));
      if (why !== undefined) {
        problems.addModel(
          'ERR_QUANTISED',
          path,
          tensor.name,
          `"${tensor.name}": ${why}`,
          'Merge the unquantised checkpoints, then quantise the result.',
        );
        fine = false;
      } else if (!sameShape(first.tensor.shape, tensor.shape, config.tokenizer && axis)) {
        problems.addModel(
          'ERR_SHAPE_MISMATCH',
          path,
          output.name,
          `"${output.name}": shape ${formatShape(first.tensor.shape)} in ${model(first.model).path}, ${formatShape(tensor.shape)} in ${path}`,
          axis !== undefined && sameShape(first.tensor.shape, tensor.shape, axis)
            ? 'The vocabularies differ: add tokenizer_source: union (or base), which gives every model the same rows.'
            : 'Only models of one architecture can be merged.',
        );
        fine = false;
      }
    }
    return fine;
  }

  #checkCount(
    output: OutputTensor,
    inputs: number,
    base: Present | undefined,
    baseModel: number | undefined,
  ): boolean {
    const { method, problems, model, name } = this.#context;
    if (baseModel !== undefined && !base) {
      problems.addModel(
        'ERR_MISSING_TENSOR',
        model(baseModel).path,
        output.name,
        `"${output.name}" is missing in base_model ${name(baseModel)}, which ${method.name} needs`,
        'Give the model that the others were trained from.',
      );
      return false;
    }
    if (inputs >= method.models.min) return true;
    problems.addModel(
      'ERR_MISSING_TENSOR',
      this.#context.config.file,
      output.name,
      `"${output.name}" is in ${inputs} of the models besides the base; ${method.name} needs ${method.models.min}`,
      'Leave the models out that lack it, or choose another method.',
    );
    return false;
  }

  #merged(
    output: OutputTensor,
    common: Omit<ResolvedTensor, 'method' | 'kernel' | 'inputs' | 'parameters'>,
    inputs: readonly Present[],
    base: Present | undefined,
  ): ResolvedTensor | undefined {
    const { method, lookup } = this.#context;
    const given: TensorValues = {
      parameters: lookup.global(output),
      // Layers may be renumbered. Outside them only an embedding that stands for a head or a copy has another name.
      inputs: inputs.map(({ source, tensor }) =>
        lookup.model(output, source, output.layer ? tensor.name : output.name),
      ),
    };
    const needed = method.parameters.filter((spec) => !spec.optional && spec.ignored === undefined);
    const complete = [given.parameters, ...given.inputs].every((values, i) =>
      needed.every((spec) => (spec.scope === 'global') !== (i === 0) || spec.name in values),
    );
    // A required parameter that is missing has been reported.
    if (!complete) return undefined;
    const finding = method.check?.(given);
    if (finding?.error !== undefined) {
      // One report for all tensors: the numbers are mostly the same.
      if (!this.#errors.has(finding.error)) {
        this.#errors.add(finding.error);
        this.#context.problems.add(
          this.#context.config.methodPlace,
          `"${output.name}": ${finding.error}`,
          finding.fix,
        );
      }
      return undefined;
    }
    if (finding) note(this.#findings, finding.warning, output.name);
    const statistics = resolveStatistics(
      method,
      inputs.map(({ source, tensor }) => ({ source: output.slice.sources[source]!, tensor })),
      this.#context,
    );
    if (!statistics) return undefined;
    const donor = this.#context.model(this.#context.donor);
    const twin = storedTwice({ name: output.name, shape: common.shape }, donor);
    const values = method.derive?.(given, twin ? 0 : output.depth) ?? given;
    const resolved = inputs.map(({ model, tensor }, i): ResolvedInput => {
      const own = statistics[i];
      return { model, tensor: tensor.name, parameters: values.inputs[i]!, ...(own && { statistics: own }) };
    });
    // Whatever its weight, the normalised mean of one model is that model to the bit.
    if (method.name === 'linear' && inputs.length === 1 && values.parameters.normalize === 1) {
      return this.#copy(common, inputs[0]!);
    }
    const plain = method.statistics && statistics.every((one) => !one);
    return {
      ...common,
      method: method.name,
      kernel: plain ? 'linear' : (method.kernel ?? method.name),
      inputs: resolved,
      ...(base && { base: { model: base.model, tensor: base.tensor.name } }),
      parameters: plain ? { normalize: 1 } : values.parameters,
      ...(twin && { twin: twin.name }),
    };
  }

  /** Gathered remarks, one line for each kind. */
  warn(): void {
    const { problems, name, config, donor } = this.#context;
    const add = (text: string): number => problems.warnings.push(`${config.file}: ${text}`);
    for (const [model, names] of this.#absent) {
      const role = model === donor ? ', which gives configuration and tokenizer' : '';
      add(`${names.length} tensors are not in ${name(model)}${role}: ${listNames(names)}`);
    }
    if (this.#copied.length > 0) {
      add(`${this.#copied.length} tensors are in one model only and are copied: ${listNames(this.#copied)}`);
    }
    const { kept, leftOut } = this.#buffers;
    if (kept.length > 0) add(bufferWarning(kept, `kept as in ${name(donor)}, though not in all models`));
    if (leftOut.length > 0) add(bufferWarning(leftOut, `left out, as not in ${name(donor)}`));
    for (const [text, names] of this.#findings) add(`${text} (${listNames(names)})`);
  }
}

/** Adds a name to those of `key`. */
function note<K>(lists: Map<K, string[]>, key: K, name: string): void {
  const names = lists.get(key);
  if (names) names.push(name);
  else lists.set(key, [name]);
}

function isListed(sources: readonly SourceConfig[], base: ModelReference): boolean {
  return sources.some(({ model }) => modelKey(model) === modelKey(base));
}
