import {
  type Checkpoint,
  type Config,
  type ModelSource,
  openCheckpoint,
  readConfig,
} from '../checkpoint/checkpoint.js';
import { elementCount } from '../checkpoint/tensor.js';
import { WisemergeError } from '../errors.js';
import { Network, type ProductWay } from '../native/network.js';
import { Engine } from '../native.js';
import { Arena, ArenaLayout } from './arena.js';
import { type NetworkDevice, networkDevice, networkEngine } from './network-device.js';
import { type LoadedWeights, loadWeights } from './network-weights.js';
import type { Architecture, BoundPart, NetworkOutput } from './programs/architecture.js';
import { ProgramBuilder } from './programs/builder.js';
import type { NetworkInputs } from './programs/inputs.js';
import { findArchitecture } from './programs/registry.js';
import { WeightTable } from './programs/weight-table.js';

/** A point of the path: one alpha for all tensors, or one for each. */
export type NetworkPoint = number | ((tensor: string) => number);

export interface NetworkModelOptions extends NetworkDevice {
  /** CPU threads; default: all. */
  readonly threads?: number;
  /** How weights are interpolated; the results have the same bits. Default: `auto`. */
  readonly way?: ProductWay;
  /** Tokens that run at once, of all candidates together. Default: 4096 on the CPU, whose caches hold them; 16384 on a GPU. */
  readonly batchTokens?: number;
}

/** The alpha of a tensor at a point. */
export function alphaAt(point: NetworkPoint, tensor: string): number {
  return typeof point === 'number' ? point : point(tensor);
}

/** The results of one candidate, by name. */
export type CandidateOutputs = ReadonlyMap<string, NetworkOutput>;

const openClipConfig = 'open_clip_config.json';
const [cpuBatchTokens, gpuBatchTokens] = [4096, 16384];

/**
 * A network at any point of the path between two models. The merged weights exist one operation at a time: see
 * native/network/network.h. Results are the same bits whatever the batch, the threads and the other candidates.
 */
export class NetworkModel implements AsyncDisposable {
  readonly architecture: Architecture;
  /** `cpu` or `cuda:N`. */
  readonly device: string;
  readonly #zeroshot: Checkpoint;
  readonly #finetuned: Checkpoint | undefined;
  readonly #engine: Engine;
  readonly #options: NetworkModelOptions;
  readonly #table: WeightTable;
  #loaded: { names: number; weights: LoadedWeights; network: Network } | undefined;

  private constructor(
    zeroshot: Checkpoint,
    finetuned: Checkpoint | undefined,
    config: Config | undefined,
    options: NetworkModelOptions,
  ) {
    this.#zeroshot = zeroshot;
    this.#finetuned = finetuned;
    this.#options = options;
    this.#table = new WeightTable(zeroshot);
    this.architecture = findArchitecture(zeroshot, config, this.#table);
    this.device = networkDevice({ ...options, device: options.device ?? 'cpu' });
    this.#engine = new Engine(networkEngine(this.device, options.threads, options.precision));
  }

  /**
   * Opens the models by their headers; config.json is that of the first. Without a second there is the point 0
   * alone. The device is the CPU unless the options say another.
   *
   * Throws ERR_CONFIG (no program for this model), ERR_ARCHITECTURE_MISMATCH, ERR_DEVICE_UNAVAILABLE and what opening a
   * checkpoint throws.
   */
  static async open(
    zeroshot: ModelSource,
    finetuned?: ModelSource,
    options: NetworkModelOptions & { readonly signal?: AbortSignal } = {},
  ): Promise<NetworkModel> {
    const opening = options.signal ? { signal: options.signal } : {};
    const first = await openCheckpoint(zeroshot, opening);
    let second: Checkpoint | undefined;
    try {
      second = finetuned === undefined ? undefined : await openCheckpoint(finetuned, opening);
      return await NetworkModel.#between(first, second, options);
    } catch (error) {
      await first.close();
      await second?.close();
      throw error;
    }
  }

  static async #between(
    first: Checkpoint,
    second: Checkpoint | undefined,
    options: NetworkModelOptions,
  ): Promise<NetworkModel> {
    const [type, other] = [first.config?.model_type, second?.config?.model_type];
    if (type !== undefined && other !== undefined && type !== other) {
      throw new WisemergeError(
        'ERR_ARCHITECTURE_MISMATCH',
        `${first.path} is of type "${String(type)}", ${second?.path} of type "${String(other)}"`,
        { ...(second && { file: second.path }), hint: 'Give two models of one architecture.' },
      );
    }
    const { directory } = first;
    const config =
      first.config ?? (directory === undefined ? undefined : await readConfig(directory, openClipConfig));
    return new NetworkModel(first, second, config, options);
  }

  /**
   * Evaluates all parts of the network whose inputs are there, at all points. Gives the results of each, in the
   * order of `points`: all, or those named by `outputs`. The loss of a language model alone needs no room for logits.
   *
   * Throws ERR_DATA_MISMATCH and ERR_DTYPE_MISMATCH (inputs), ERR_NO_SUCH_TENSOR, ERR_MISSING_TENSOR and
   * ERR_SHAPE_MISMATCH (weights), ERR_USAGE (no such output), ERR_OUT_OF_MEMORY, ERR_DEVICE_MEMORY.
   */
  async forward(
    inputs: NetworkInputs,
    points: readonly NetworkPoint[],
    options: { readonly signal?: AbortSignal; readonly outputs?: readonly string[] } = {},
  ): Promise<CandidateOutputs[]> {
    const { signal, outputs: names } = options;
    const wanted = (name: string) =>
      names === undefined ? !this.architecture.inner?.has(name) : names.includes(name);
    const results = points.map(() => new Map<string, NetworkOutput>());
    let ran = 0;
    for (const part of this.architecture.parts) {
      if (!part.needs.every((name) => inputs.has(name) || results[0]?.has(name))) continue;
      await this.#runPart(part.bind(inputs, results[0]!, wanted), points, results, signal);
      ran++;
    }
    if (ran === 0) throw this.missingInputs([...inputs.keys()]);
    if (this.architecture.finish) for (const outputs of results) this.architecture.finish(outputs, inputs);
    for (const outputs of results) {
      for (const name of [...outputs.keys()]) if (!wanted(name)) outputs.delete(name);
    }
    for (const name of names ?? []) if (!results[0]?.has(name)) throw this.#noOutput(name);
    return results;
  }

  #noOutput(name: string): WisemergeError {
    return new WisemergeError(
      'ERR_USAGE',
      `${this.#zeroshot.path} (${this.architecture.name}) gives no "${name}" from these inputs`,
      { hint: 'Leave outputs out to get all that these inputs allow; docs/networks.md lists them.' },
    );
  }

  /**
   * What a decoder loses on each token, without its logits: [N, T] of `token_losses` (see `Architecture.losses`) for
   * each point. Inputs are `input_ids`, and `labels` that stand in their place.
   *
   * Throws ERR_CONFIG for a model that is no decoder, and as `forward`.
   */
  async tokenLosses(
    inputs: NetworkInputs,
    points: readonly NetworkPoint[],
    signal?: AbortSignal,
  ): Promise<Float32Array[]> {
    const { losses } = this.architecture;
    if (!losses) throw this.noDecoder();
    const results = points.map(() => new Map<string, NetworkOutput>());
    await this.#runPart(
      losses.bind(inputs, results[0]!, (name) => name === 'token_losses'),
      points,
      results,
      signal,
    );
    return results.map((outputs) => outputs.get('token_losses')!.data);
  }

  /** Tensors that differ between the models, of those that runs so far have read, in the order of their first use. */
  get differing(): string[] {
    const parameters = this.#loaded?.weights.parameters ?? [];
    return this.#table.names.filter((_, i) => parameters[i]?.finetuned !== undefined);
  }

  /** That this is no decoder. */
  noDecoder(): WisemergeError {
    const { path } = this.#zeroshot;
    return new WisemergeError(
      'ERR_CONFIG',
      `${path} (${this.architecture.name}) is not a decoder: it gives no probabilities of tokens`,
      { file: path, hint: 'Text is scored by decoders: llama, mistral, qwen2, qwen3.' },
    );
  }

  /** All inputs that some part reads. */
  get inputNames(): ReadonlySet<string> {
    return new Set(this.architecture.parts.flatMap(({ needs, reads = [] }) => [...needs, ...reads]));
  }

  /** That none of the parts can run from what is given. */
  missingInputs(given: readonly string[], file?: string): WisemergeError {
    const wanted = this.architecture.parts.map(({ needs }) => needs.join(' and '));
    return new WisemergeError(
      'ERR_DATA_MISMATCH',
      `${this.#zeroshot.path} (${this.architecture.name}) takes ${wanted[0]}; the inputs are ${given.join(', ') || 'none'}`,
      {
        ...(file !== undefined && { file }),
        hint: `Name the inputs as transformers does: ${wanted.join('; ')}.`,
      },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#loaded?.network.close();
    this.#loaded?.weights[Symbol.dispose]();
    this.#loaded = undefined;
    this.#engine.close();
    await this.#zeroshot.close();
    await this.#finetuned?.close();
  }

  async #runPart(
    part: BoundPart,
    points: readonly NetworkPoint[],
    results: readonly Map<string, NetworkOutput>[],
    signal?: AbortSignal,
  ): Promise<void> {
    const onCpu = this.device === 'cpu';
    const budget = this.#options.batchTokens ?? (onCpu ? cpuBatchTokens : gpuBatchTokens);
    const rows = Math.max(1, Math.floor(budget / part.tokens));
    // A GPU may have to be sent every weight, once for all candidates; the CPU has them all, and wants long batches.
    const fitting = onCpu ? rows : Math.max(1, Math.floor(rows / points.length));
    const size = part.whole ? part.batch : Math.min(part.batch, fitting);
    const together = onCpu ? Math.max(1, Math.floor(rows / Math.max(size, 1))) : points.length;
    let builder = this.#build(part, Math.max(size, 1));
    for (const { name, shape } of builder.outputs) {
      const whole = [part.batch, ...shape.slice(1)];
      for (const outputs of results) {
        outputs.set(name, { shape: whole, data: new Float32Array(elementCount(whole)) });
      }
    }
    const network = await this.#network(signal);
    const groups = Array.from({ length: Math.ceil(points.length / together) }, (_, g) => {
      const [from, to] = [g * together, (g + 1) * together];
      return { alphas: this.#alphas(points.slice(from, to)), results: results.slice(from, to) };
    });
    for (let first = 0; first < part.batch; first += size) {
      const count = Math.min(size, part.batch - first);
      if (count < size) builder = this.#build(part, count);
      for (const group of groups) await runBatch(network, builder, part, { first, count, ...group }, signal);
    }
  }

  #build(part: BoundPart, batch: number): ProgramBuilder {
    const builder = new ProgramBuilder(this.#table);
    part.build(builder, batch);
    return builder;
  }

  /** With all weights that programs have named so far. */
  async #network(signal?: AbortSignal): Promise<Network> {
    const names = this.#table.names;
    if (this.#loaded?.names === names.length) return this.#loaded.network;
    this.#loaded?.network.close();
    this.#loaded?.weights[Symbol.dispose]();
    this.#loaded = undefined;
    const weights = await loadWeights(names, this.#zeroshot, this.#finetuned, signal);
    // Weights that will not stay on a device go there with every batch: straight from here, if their pages are locked.
    const { memoryFree = 0 } = this.#engine.device;
    if (this.device !== 'cpu' && weights.arena.buffer.byteLength > memoryFree)
      await this.#engine.pin(weights.arena.buffer);
    const { threads = 0, way = 'auto' } = this.#options;
    const network = new Network(this.#engine, weights.arena.buffer, weights.parameters, { threads, way });
    this.#loaded = { names: names.length, weights, network };
    return network;
  }

  #alphas(points: readonly NetworkPoint[]): Float64Array {
    const names = this.#table.names;
    return Float64Array.from(points.flatMap((point) => names.map((name) => alphaAt(point, name))));
  }
}

interface Batch {
  readonly first: number;
  readonly count: number;
  /** [candidate][parameter]. */
  readonly alphas: Float64Array;
  readonly results: readonly Map<string, NetworkOutput>[];
}

/** One batch of one part: inputs into an arena, results out of it. */
async function runBatch(
  network: Network,
  builder: ProgramBuilder,
  part: BoundPart,
  { first, count, alphas, results }: Batch,
  signal?: AbortSignal,
): Promise<void> {
  const candidates = results.length;
  const layout = new ArenaLayout();
  const { values, ops } = builder.rows;
  const offsets = new Map<number, number>();
  const reserve = (id: number, arrays: number) => {
    offsets.set(id, layout.reserve(4 * values[id]!.count * arrays));
  };
  for (const { id } of builder.constants) reserve(id, 1);
  for (const { id } of builder.inputs) reserve(id, values[id]!.source === 'eachCandidate' ? candidates : 1);
  for (const { id } of builder.outputs) reserve(id, candidates);
  using arena = new Arena(layout);
  const put = (id: number, at: number, data: Float32Array | Int32Array) => {
    const offset = offsets.get(id)! + 4 * at;
    const view =
      data instanceof Int32Array ? arena.ints(offset, data.length) : arena.floats(offset, data.length);
    view.set(data);
  };
  for (const { id, data } of builder.constants) put(id, 0, data);
  for (const { name, id } of builder.inputs) {
    const length = values[id]!.count;
    const array = part.arrays.get(name);
    if (array) {
      const each = array.length / part.batch;
      put(id, 0, array.subarray(first * each, (first + count) * each));
    } else {
      for (const [k, outputs] of results.entries()) put(id, k * length, outputs.get(name)!.data);
    }
  }
  const placed = values.map((value, id) => {
    const offset = offsets.get(id);
    return offset === undefined ? value : { ...value, offset };
  });
  await network.run(arena.buffer, { values: placed, ops }, alphas, candidates, signal);
  for (const { name, id } of builder.outputs) {
    const length = values[id]!.count;
    results.forEach((outputs, k) => {
      const { data } = outputs.get(name)!;
      data.set(arena.floats(offsets.get(id)! + 4 * k * length, length), (first * data.length) / part.batch);
    });
  }
}
