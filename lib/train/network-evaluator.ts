import { xxh3 } from '@node-rs/xxhash';
import { type Checkpoint, type ModelSource, openCheckpoint } from '../checkpoint/checkpoint.js';
import { formatShape, itemSize } from '../checkpoint/tensor.js';
import { WisemergeError } from '../errors.js';
import { Arena, ArenaLayout } from '../eval/arena.js';
import type { EvaluationSet } from '../eval/data/evaluation-set.js';
import { type Activation, findNetwork, type Network } from '../eval/dense-network.js';
import { type Ends, type LogitEvaluation, LogitMeter, LogitTally } from '../eval/logit-meter.js';
import { hexDigest } from '../hex-digest.js';
import { Inference } from '../native/inference.js';
import { dtypeByName, Engine } from '../native.js';
import { type ParameterPlan, planParameters, readParameters } from './parameters.js';

export interface NetworkEvaluatorOptions {
  /** θ₀ and θ₁: a .safetensors file, an index, or a model directory each. */
  readonly zeroshot: ModelSource;
  readonly finetuned: ModelSource;
  /** In messages, where both ends are one model. Default: its alpha. */
  readonly modelName?: string;
  /** Rows for the network's first layer. */
  readonly sets: readonly EvaluationSet[];
  /** Weight of the linear head to evaluate alone. Default: an MLP whole, of any other model its head. */
  readonly head?: string;
  /** Between linear layers. Default: config.json's, else `gelu`. */
  readonly activation?: Activation;
  /** CPU threads; results do not depend on them. Default: all. */
  readonly threads?: number;
  readonly signal?: AbortSignal;
}

/** Samples whose features and logits lie in the arena. A multiple of the block that metrics are summed by. */
const maxRows = 4096;
/** Samples that go through the network together, so that their activations stay in the cache. */
const cacheRows = 256;

/**
 * Evaluates the models between two MLPs, or two linear heads, on cached features: an `Evaluator` for a sweep.
 * θ_α is interpolated natively (docs/numerics.md) into one array that is used again; it is not rounded to the
 * stored dtype, and no checkpoint is written. Each call reads every set once for all its alphas.
 */
export class NetworkEvaluator {
  /** Alphas share the reading of the sets, and need no memory each but their counts. */
  readonly batch = 8;
  readonly calls = 1;
  readonly sets: readonly EvaluationSet[];
  /** Of the network and both ends; JSON. */
  readonly identity: unknown;
  readonly #engine: Engine;
  readonly #arena: Arena;
  readonly #inference: Inference;
  readonly #classes: number;
  readonly #plan: ParameterPlan;
  readonly #at: Places;
  readonly #modelName: string | undefined;
  /** Per set, what both ends predict; once a pass has told. */
  readonly #ends = new Map<EvaluationSet, Ends>();

  private constructor(
    engine: Engine,
    arena: Arena,
    inference: Inference,
    network: Network,
    plan: ParameterPlan,
    at: Places,
    sets: readonly EvaluationSet[],
    modelName: string | undefined,
  ) {
    this.#modelName = modelName;
    this.#engine = engine;
    this.#arena = arena;
    this.#inference = inference;
    this.#classes = network.classes;
    this.#plan = plan;
    this.#at = at;
    this.sets = sets;
    const hash = (offset: number) => {
      const state = xxh3.Xxh3.withSeed().update(arena.bytes(offset, 4 * plan.count));
      return hexDigest(state);
    };
    this.identity = {
      layers: network.layers.map(({ kind, inputs, outputs }) => [kind, inputs, outputs]),
      tensors: network.tensors.map(({ name }) => name),
      zeroshot: hash(at.zeroshot),
      finetuned: hash(at.finetuned),
    };
  }

  /**
   * Reads both ends. Throws as `findNetwork`, ERR_MISSING_TENSOR and ERR_SHAPE_MISMATCH where the ends are
   * different networks, ERR_DATA for weights that are not finite, ERR_DATA_MISMATCH for a set that does not fit
   * the network, ERR_OUT_OF_MEMORY.
   */
  static async open(options: NetworkEvaluatorOptions): Promise<NetworkEvaluator> {
    const { sets, head, activation, threads = 0, signal } = options;
    const opening = signal ? { signal } : {};
    await using zeroshot = await openCheckpoint(options.zeroshot, opening);
    await using finetuned = await openCheckpoint(options.finetuned, opening);
    const given = { ...(head !== undefined && { head }), ...(activation && { activation }) };
    const network = findNetwork(zeroshot, given);
    const tuned = findNetwork(finetuned, given);
    checkPair(network, tuned, finetuned);
    for (const set of sets) checkSet(set, network);
    const plan = planParameters(network);
    const layout = new ArenaLayout();
    const at = reserve(layout, plan, [...network.tensors, ...tuned.tensors], network, sets);
    const engine = new Engine({ threads });
    const arena = new Arena(layout);
    try {
      const { trained } = planParameters(tuned);
      await readParameters(engine, arena, zeroshot, plan.trained, at.zeroshot, at.scratch, signal);
      await readParameters(engine, arena, finetuned, trained, at.finetuned, at.scratch, signal);
      const { layers, count } = plan;
      const inference = new Inference(engine, arena.buffer, { layers, count, maxRows: cacheRows, threads });
      return new NetworkEvaluator(engine, arena, inference, network, plan, at, sets, options.modelName);
    } catch (error) {
      engine.close();
      arena[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * `result[k][s]` is alpha k on set s. One call at a time. Rejects with the signal's reason, with
   * ERR_EVALUATION where outputs are not finite, or as `EvaluationSet.readFeatures`.
   */
  async evaluate(
    alphas: readonly number[],
    signal?: AbortSignal,
  ): Promise<readonly (readonly LogitEvaluation[])[]> {
    const bySet: LogitEvaluation[][] = [];
    for (const set of this.sets) bySet.push(await this.#evaluateSet(set, alphas, signal));
    return alphas.map((_, k) => bySet.map((evaluations) => evaluations[k]!));
  }

  async #evaluateSet(
    set: EvaluationSet,
    alphas: readonly number[],
    signal: AbortSignal | undefined,
  ): Promise<LogitEvaluation[]> {
    const known = this.#ends.get(set);
    const ends = known ?? [new Int32Array(set.samples), new Int32Array(set.samples)];
    const tally = () => new LogitTally(set.samples, this.#classes);
    const tallies = new Map(alphas.map((alpha) => [alpha, tally()]));
    // The ends come first, so that their predictions of a batch are there to be compared with.
    const first = known ? [] : ([0, 1] as const);
    const measured = new Map([
      ...first.map((alpha) => [alpha, tallies.get(alpha) ?? tally()] as const),
      ...tallies,
    ]);
    const rest = [...tallies.keys()].filter((alpha) => known || (alpha !== 0 && alpha !== 1));
    for (let from = 0; from < set.samples; from += maxRows) {
      signal?.throwIfAborted();
      const rows = Math.min(maxRows, set.samples - from);
      const bytes = rows * set.dimension * itemSize(set.featureDtype);
      await set.readFeatures(from, rows, this.#arena.bytes(this.#at.features, bytes));
      this.#arena.ints(this.#at.meter.labels, rows).set(set.labels.subarray(from, from + rows));
      for (const alpha of first) {
        ends[alpha].set(await this.#pass(set, from, rows, alpha, measured.get(alpha)!, signal), from);
      }
      for (const alpha of first) {
        tallies.get(alpha)?.add(from, ends[alpha].subarray(from, from + rows), ends);
      }
      for (const alpha of rest) {
        const predictions = await this.#pass(set, from, rows, alpha, tallies.get(alpha)!, signal);
        tallies.get(alpha)!.add(from, predictions, ends);
      }
    }
    for (const [alpha, one] of measured) one.refuseBroken(this.#modelName ?? alpha, set);
    this.#ends.set(set, ends);
    return alphas.map((alpha) => tallies.get(alpha)!.evaluation(set));
  }

  /** Adds the metrics of one model on the batch at hand. Gives its predictions, valid until the next pass. */
  async #pass(
    set: EvaluationSet,
    from: number,
    rows: number,
    alpha: number,
    tally: LogitTally,
    signal: AbortSignal | undefined,
  ): Promise<Int32Array> {
    const { zeroshot, finetuned, model, features, meter } = this.#at;
    const f32 = dtypeByName('F32')!.index;
    const { count } = this.#plan;
    const segment = Float64Array.of(f32, f32, f32, count, zeroshot, finetuned, model);
    await this.#engine.lerp(this.#arena.buffer, segment, Float64Array.of(alpha), signal);
    const { dimension, featureDtype } = set;
    const dtype = dtypeByName(featureDtype)!.index;
    const { stride, logits } = meter;
    const pass = { samples: rows, dimension, dtype, features, parameters: model, stride, logits };
    await this.#inference.run(pass, signal);
    return await meter.measure(this.#engine, this.#arena, from, rows, tally, signal);
  }

  async close(): Promise<void> {
    this.#inference.close();
    this.#engine.close();
    this.#arena[Symbol.dispose]();
  }
}

/** Byte offsets in the arena. */
type Places = ReturnType<typeof reserve>;

function reserve(
  layout: ArenaLayout,
  { count }: ParameterPlan,
  tensors: Network['tensors'],
  { classes }: Network,
  sets: readonly EvaluationSet[],
) {
  const rows = Math.min(maxRows, Math.max(...sets.map(({ samples }) => samples)));
  const rowBytes = Math.max(...sets.map(({ dimension, featureDtype }) => dimension * itemSize(featureDtype)));
  return {
    zeroshot: layout.reserve(4 * count),
    finetuned: layout.reserve(4 * count),
    /** Of the model at hand. */
    model: layout.reserve(4 * count),
    scratch: layout.reserve(Math.max(...tensors.map(({ bytes }) => bytes))),
    features: layout.reserve(rows * rowBytes),
    meter: new LogitMeter(layout, rows, classes),
  };
}

function checkPair(network: Network, tuned: Network, { path }: Checkpoint): void {
  const others = new Map(tuned.tensors.map((tensor) => [tensor.name, tensor]));
  for (const { name, shape } of network.tensors) {
    const other = others.get(name);
    if (!other) {
      throw new WisemergeError(
        'ERR_MISSING_TENSOR',
        `${path} has no ${name}, which the zero-shot model has`,
        {
          tensor: name,
          file: path,
          hint: 'Both models must be the same network.',
        },
      );
    }
    if (formatShape(other.shape) === formatShape(shape)) continue;
    throw new WisemergeError(
      'ERR_SHAPE_MISMATCH',
      `${name} is ${formatShape(other.shape)} in ${path} and ${formatShape(shape)} in the zero-shot model`,
      { tensor: name, file: other.file, hint: 'Both models must be the same network.' },
    );
  }
  const kinds = ({ layers }: Network) => layers.map(({ kind }) => kind).join(', ');
  if (others.size === network.tensors.length && kinds(network) === kinds(tuned)) return;
  throw new WisemergeError(
    'ERR_SHAPE_MISMATCH',
    `${path} is another network: its layers are ${kinds(tuned)}, not ${kinds(network)}`,
    { file: path, hint: 'Both models must be the same network, with the same activation.' },
  );
}

function checkSet({ name, samples, dimension, labels }: EvaluationSet, { inputs, classes }: Network): void {
  const problem =
    samples === 0
      ? 'has no samples'
      : dimension !== inputs
        ? `has features of ${dimension} numbers; the network takes ${inputs}`
        : labels.some((label) => !(label >= 0 && label < classes))
          ? `has labels outside 0..${classes - 1}`
          : undefined;
  if (problem === undefined) return;
  throw new WisemergeError('ERR_DATA_MISMATCH', `set ${name} ${problem}`, {
    hint: 'Features, labels and models must belong together.',
  });
}
