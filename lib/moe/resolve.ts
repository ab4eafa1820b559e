import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { dtypeInfo, formatShape, type TensorInfo } from '../checkpoint/tensor.js';
import { WisemergeError } from '../errors.js';
import { formatModelReference, modelKey } from '../merge/config/model-reference.js';
import { isOfModel, openModel } from '../merge/config/open-model.js';
import { Problems } from '../merge/config/problems.js';
import { ModelData } from '../merge/many/model-data.js';
import { quantisation } from '../merge/quantised.js';
import type { DTypeName } from '../native.js';
import {
  architectures,
  hasPlace,
  type MoeArchitecture,
  type MoeShape,
  mlpParts,
  mlpWeight,
} from './architectures.js';
import { type ExpertConfig, isPrompted, type MoeConfig } from './config.js';

/** A tensor of the mixture and where it comes from. */
export interface MoeTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: DTypeName;
  readonly from:
    | { readonly kind: 'base'; readonly tensor: string }
    | {
        readonly kind: 'expert';
        readonly expert: ExpertConfig;
        readonly tensor: string;
        /** Of the whole tensor: 1, or for a down projection the expert's scale. */
        readonly scale: number;
      }
    /** Of the layer's number; `shared`: of the expert that all tokens go through. */
    | { readonly kind: 'router'; readonly layer: number; readonly shared: boolean };
}

/** A mixture applied to the headers of its models. */
export interface ResolvedMoe {
  readonly config: MoeConfig;
  readonly architecture: MoeArchitecture;
  readonly base: Checkpoint;
  /** By `modelKey` of its reference. */
  readonly models: ReadonlyMap<string, ModelData>;
  readonly shape: MoeShape;
  readonly layers: number;
  readonly hidden: number;
  /** In the order of the output. */
  readonly tensors: readonly MoeTensor[];
  readonly warnings: readonly string[];
}

/**
 * Opens the models of a mixture by their headers and says where each tensor comes from. Throws ERR_MERGE_FILE,
 * ERR_INCOMPATIBLE with all problems, and what opening a model throws.
 */
export async function resolveMoe(config: MoeConfig, opening: OpeningOptions = {}): Promise<ResolvedMoe> {
  const models = await openModels(config, opening);
  const problems = new Problems(config.file);
  const base = models.get(modelKey(config.base))!.checkpoint;
  const architecture = chooseArchitecture(config, base, problems);
  problems.throwIfAny();
  return new Resolution(config, models, base, architecture!, problems).resolve();
}

/** `cache`: of the Hub, where repositories are looked for. */
interface OpeningOptions {
  readonly cache?: string;
  readonly signal?: AbortSignal;
}

async function openModels(
  config: MoeConfig,
  { cache, signal }: OpeningOptions,
): Promise<Map<string, ModelData>> {
  const problems = new Problems(config.file);
  const models = new Map<string, ModelData>();
  const seen = new Set<string>();
  for (const model of [config.base, ...[...config.experts, ...config.shared].map((expert) => expert.model)]) {
    const key = modelKey(model);
    if (seen.has(key)) continue;
    seen.add(key);
    try {
      const checkpoint = await openModel(model.model, { cache, signal });
      models.set(key, await ModelData.open(model, checkpoint, { cache, signal }));
    } catch (error) {
      if (!(error instanceof WisemergeError) || !isOfModel(error)) throw error;
      const fix = error.hint ?? 'Give another model, or save this one again.';
      problems.addModel(error.code, model.model.path, error.tensor, error.message, fix);
    }
  }
  problems.throwIfAny();
  return models;
}

function chooseArchitecture(
  { architecture: wanted, architecturePlace, basePlace, shared, place }: MoeConfig,
  { config, path }: Checkpoint,
  problems: Problems,
): MoeArchitecture | undefined {
  const type = config?.model_type;
  const fitting = architectures.find(({ sources }) => typeof type === 'string' && sources.includes(type));
  const found = wanted ? architectures.find(({ name }) => name === wanted) : fitting;
  const sources = architectures.map(({ name, sources: from }) => `${name} of ${from.join(', ')}`).join('; ');
  if (!found || !fitting || found !== fitting) {
    const what =
      type === undefined ? 'has no config.json with a model_type' : `is of type ${JSON.stringify(type)}`;
    problems.add(
      architecturePlace ?? basePlace,
      `${path} ${what}, of which no ${wanted ?? 'mixture of experts'} is made`,
      `There are ${sources}.`,
    );
    return undefined;
  }
  if (shared.length !== found.shared) {
    problems.add(
      shared[1]?.place ?? shared[0]?.place ?? place,
      `${found.name} has ${found.shared === 0 ? 'no shared expert' : 'one shared expert'}; here are ${shared.length}`,
      found.shared === 0 ? 'Leave shared_experts out.' : 'Name one model under shared_experts.',
    );
  }
  return found;
}

class Resolution {
  readonly #config: MoeConfig;
  readonly #models: ReadonlyMap<string, ModelData>;
  readonly #base: Checkpoint;
  readonly #architecture: MoeArchitecture;
  readonly #problems: Problems;

  constructor(
    config: MoeConfig,
    models: ReadonlyMap<string, ModelData>,
    base: Checkpoint,
    architecture: MoeArchitecture,
    problems: Problems,
  ) {
    this.#config = config;
    this.#models = models;
    this.#base = base;
    this.#architecture = architecture;
    this.#problems = problems;
  }

  resolve(): ResolvedMoe {
    const { experts, shared, expertsPerToken, gateMode, base: reference } = this.#config;
    const tensors: MoeTensor[] = [];
    let layers = 0;
    const first = this.#base.tensors.get('model.layers.0.mlp.up_proj.weight');
    const [inner = 0, hidden = 0] = first?.shape ?? [];
    for (const tensor of this.#base.tensors.values()) {
      const weight = mlpWeight(tensor.name);
      if (!weight) {
        this.#plain(tensor, tensors);
        continue;
      }
      // A layer's experts stand where the first matrix of its MLP did.
      if (tensors.some(({ from }) => from.kind === 'router' && from.layer === weight.index)) continue;
      layers++;
      this.#layer(weight, tensor.dtype, hidden, tensors);
    }
    this.#checkLayers(layers);
    this.#checkShapes(experts, [inner, hidden], layers);
    const sharedInner = shared[0] && this.#innerOf(shared[0]);
    if (shared[0] && sharedInner !== undefined) this.#checkShapes(shared, [sharedInner, hidden], layers);
    if (reference.lora && isPrompted(gateMode)) {
      this.#problems.add(
        this.#config.basePlace,
        `gate_mode ${gateMode} makes routers of the base model, which has an adapter`,
        'Merge the adapter into its base first, with a passthrough of base+adapter.',
      );
    }
    this.#problems.throwIfAny();
    return {
      config: this.#config,
      architecture: this.#architecture,
      base: this.#base,
      models: this.#models,
      shape: {
        ...{ experts: experts.length, perToken: expertsPerToken, inner },
        ...(sharedInner !== undefined && { sharedInner }),
      },
      layers,
      hidden,
      tensors,
      warnings: [...this.#config.warnings, ...[...this.#models.values()].flatMap((m) => m.checkpoint.notes)],
    };
  }

  #plain({ name, shape, dtype }: TensorInfo, tensors: MoeTensor[]): void {
    if (!hasPlace(this.#architecture, name)) {
      this.#problems.addModel(
        'ERR_INCOMPATIBLE',
        this.#base.path,
        name,
        `"${name}" of the base model has no place in ${this.#architecture.modelType}`,
        'Its layers compute with it, so that it cannot be left out: give another base model.',
      );
      return;
    }
    const kind = dtypeInfo(dtype).kind;
    const out = kind === 'float' ? (this.#config.dtype ?? dtype) : dtype;
    tensors.push({ name, shape, dtype: out, from: { kind: 'base', tensor: name } });
  }

  #layer(
    { layer, index }: { readonly layer: string; readonly index: number },
    stored: DTypeName,
    hidden: number,
    tensors: MoeTensor[],
  ): void {
    const { experts, shared } = this.#config;
    const { router, expert, sharedExpert, sharedRouter } = this.#architecture;
    const dtype = this.#config.dtype ?? stored;
    tensors.push({
      ...{ name: router(layer), shape: [experts.length, hidden], dtype },
      from: { kind: 'router', layer: index, shared: false },
    });
    const add = (from: ExpertConfig, nameOf: (part: (typeof mlpParts)[number]) => string) => {
      for (const part of mlpParts) {
        const tensor = `${layer}.mlp.${part}.weight`;
        const { shape = [] } = this.#models.get(modelKey(from.model))!.checkpoint.tensors.get(tensor) ?? {};
        const scale = part === 'down_proj' ? from.scale : 1;
        tensors.push({
          name: nameOf(part),
          shape,
          dtype,
          from: { kind: 'expert', expert: from, tensor, scale },
        });
      }
    };
    for (const [e, one] of experts.entries()) add(one, (part) => expert(layer, e, part));
    if (!shared[0] || !sharedExpert || !sharedRouter) return;
    add(shared[0], (part) => sharedExpert(layer, part));
    tensors.push({
      ...{ name: sharedRouter(layer), shape: [1, hidden], dtype },
      from: { kind: 'router', layer: index, shared: true },
    });
  }

  #checkLayers(layers: number): void {
    const wanted = this.#base.config?.num_hidden_layers;
    if (layers === wanted) return;
    this.#problems.addModel(
      'ERR_INCOMPATIBLE',
      this.#base.path,
      undefined,
      `${this.#base.path} has ${layers} layers with an MLP; num_hidden_layers of its config.json is ${String(wanted)}`,
      'Give a base model of dense layers whose weights and config.json belong together.',
    );
  }

  #innerOf({ model }: ExpertConfig): number | undefined {
    const { tensors } = this.#models.get(modelKey(model))!.checkpoint;
    return tensors.get('model.layers.0.mlp.up_proj.weight')?.shape[0];
  }

  /** All matrices of all MLPs, at most one problem for a tensor of a model. */
  #checkShapes(experts: readonly ExpertConfig[], [inner, hidden]: [number, number], layers: number): void {
    const seen = new Set<string>();
    for (const { model } of experts) {
      const key = modelKey(model);
      if (seen.has(key)) continue;
      seen.add(key);
      const { checkpoint } = this.#models.get(key)!;
      const quantised = (tensor: TensorInfo) => quantisation(tensor, checkpoint);
      const refuse =
        (code: 'ERR_MISSING_TENSOR' | 'ERR_SHAPE_MISMATCH' | 'ERR_DTYPE_MISMATCH' | 'ERR_QUANTISED') =>
        (tensor: string, why: string, fix: string) =>
          this.#problems.addModel(
            code,
            checkpoint.path,
            tensor,
            `"${tensor}" of ${formatModelReference(model)} ${why}`,
            fix,
          );
      for (let i = 0; i < layers; i++) {
        for (const part of mlpParts) {
          const name = `model.layers.${i}.mlp.${part}.weight`;
          const tensor = checkpoint.tensors.get(name);
          const wanted = part === 'down_proj' ? [hidden, inner] : [inner, hidden];
          if (!tensor) {
            refuse('ERR_MISSING_TENSOR')(
              name,
              'is missing',
              'Experts are models of the architecture and depth of the base.',
            );
          } else if (formatShape(tensor.shape) !== formatShape(wanted)) {
            refuse('ERR_SHAPE_MISMATCH')(
              name,
              `is ${formatShape(tensor.shape)}; the other experts need ${formatShape(wanted)}`,
              'All experts must be of the size of the base model.',
            );
          } else if (quantised(tensor) !== undefined) {
            refuse('ERR_QUANTISED')(name, quantised(tensor)!, 'Give the unquantised model.');
          } else if (dtypeInfo(tensor.dtype).kind !== 'float') {
            refuse('ERR_DTYPE_MISMATCH')(name, `is of dtype ${tensor.dtype}`, 'Give a model of floats.');
          }
        }
      }
    }
  }
}
