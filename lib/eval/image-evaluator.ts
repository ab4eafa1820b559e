import { type ModelSource, openCheckpoint } from '../checkpoint/checkpoint.js';
import { WisemergeError } from '../errors.js';
import { type DTypeName, Engine } from '../native.js';
import { Arena, ArenaLayout } from './arena.js';
import type { SetKind, SetRole } from './data/evaluation-set.js';
import type { EvaluatedSet, PointEvaluator } from './evaluator.js';
import { classifierTensors, type ImageClassifier, LogitSource } from './image-classifier.js';
import { checkClassNames } from './images/class-names.js';
import { featureKey } from './images/feature-key.js';
import { ImageLoader } from './images/image-loader.js';
import { type ImageSet, type ImageSource, openImageSet } from './images/image-set.js';
import { type ImageTransform, outputSize } from './images/transform.js';
import { readImageTransform } from './images/transform-file.js';
import { headHash, openHeads } from './linear-head.js';
import { checkLabels, type Ends, type LogitEvaluation, LogitMeter, PathTally } from './logit-meter.js';
import { type Approximation, Approximations, logitsAlong } from './logit-path.js';
import { modelIdentities } from './model-identity.js';
import { NetworkModel, type NetworkPoint } from './network.js';
import type { NetworkDevice } from './network-device.js';
import { PromptHead, type Prompts } from './text/prompt-head.js';

export interface ImageSetSource extends ImageSource {
  readonly name: string;
  readonly role: SetRole;
  readonly kind: SetKind;
}

export interface ImageEvaluatorOptions extends NetworkDevice {
  readonly zeroshot: ModelSource;
  /** Without it there is one model, at alpha 0. */
  readonly finetuned?: ModelSource;
  /** Of one model, in messages. Default: its path. */
  readonly modelName?: string;
  readonly sets: readonly ImageSetSource[];
  /**
   * Linear heads on image embeddings, for networks that have none of their own (CLIP): checkpoints as `openHeads`
   * reads them. Default: in the models themselves.
   */
  readonly heads?: { readonly zeroshot: ModelSource; readonly finetuned: ModelSource };
  /**
   * In place of heads, for CLIP: the classifier is built from these by the text tower of each model, as WiSE-FT does where
   * both towers were fine-tuned.
   */
  readonly prompts?: Prompts;
  /** Name of the heads' weight. */
  readonly head?: string;
  /** Interpolate logits between a few alphas where that can be checked (`logitsAlong`). */
  readonly interpolate?: boolean;
  readonly threads?: number;
  readonly signal?: AbortSignal;
}

/** Images that are decoded, evaluated and measured together: a multiple of the block that metrics are summed by. */
const batchImages = 64;

const labelHint = 'Give classNames in the order of the head, so that directories get its numbers.';

interface OpenSet extends EvaluatedSet {
  readonly images: ImageSet;
  readonly labels: Int32Array;
}

type ImageEvaluation = LogitEvaluation & { readonly approximation?: Approximation };

/**
 * Evaluates the models between two image classifiers on sets of images: the network at all alphas at once, its head,
 * and all metrics. Images are decoded once per call of `evaluate`. No merged weights are written.
 */
export class ImageEvaluator implements PointEvaluator {
  /** Few, so that a run that is stopped has something to go on from; all, where they are interpolated. */
  readonly batch: number;
  readonly calls = 1;
  readonly sets: readonly OpenSet[];
  readonly identity: unknown;
  readonly #model: NetworkModel;
  readonly #transform: ImageTransform;
  readonly #classifier: ImageClassifier;
  readonly #engine: Engine;
  readonly #threads: number | undefined;
  readonly #interpolate: boolean;
  readonly #lone: string | undefined;
  readonly #ends = new Map<OpenSet, Ends>();

  private constructor(
    model: NetworkModel,
    opened: Pick<ImageEvaluator, 'sets' | 'identity'> & {
      readonly transform: ImageTransform;
      readonly classifier: ImageClassifier;
    },
    { threads, interpolate = false, zeroshot, finetuned, modelName }: ImageEvaluatorOptions,
  ) {
    this.#lone = finetuned === undefined ? (modelName ?? String(zeroshot)) : undefined;
    this.#model = model;
    this.#transform = opened.transform;
    this.#classifier = opened.classifier;
    this.sets = opened.sets;
    this.identity = opened.identity;
    this.#threads = threads;
    this.#interpolate = interpolate;
    this.batch = interpolate ? Number.MAX_SAFE_INTEGER : 8;
    this.#engine = new Engine({ ...(threads !== undefined && { threads }) });
  }

  /**
   * Opens models, heads, transform and sets. Rejects with ERR_CONFIG (no program, or no image transform), ERR_DATA,
   * ERR_DATA_MISMATCH where labels, class names or heads do not fit the network, ERR_NO_SUCH_TENSOR without a head, and as
   * `openCheckpoint` and `openImageSet`.
   */
  static async open(options: ImageEvaluatorOptions): Promise<ImageEvaluator> {
    const { zeroshot, finetuned, signal } = options;
    const opening = { ...(signal && { signal }) };
    const transform = await readImageTransform((await openCheckpoint(zeroshot, opening)).path);
    const sets = await Promise.all(options.sets.map((set) => openSet(set, transform)));
    const model = await NetworkModel.open(zeroshot, finetuned, options);
    try {
      const outputs = await probe(model, transform, signal);
      const classifier = await openClassifier(options, model, outputs);
      checkClassNames(sets, classifier.classes);
      for (const set of sets) checkLabels(set, classifier.classes, labelHint);
      const models = await modelIdentities([zeroshot, ...(finetuned === undefined ? [] : [finetuned])]);
      const identity = { models, ...identityOf(classifier) };
      return new ImageEvaluator(model, { transform, classifier, sets, identity }, options);
    } catch (error) {
      await model[Symbol.asyncDispose]();
      throw error;
    }
  }

  get tensors(): readonly string[] {
    return [...this.#model.differing, ...classifierTensors(this.#classifier)];
  }

  /** Rejects with ERR_EVALUATION where outputs are not finite. */
  async evaluate(alphas: readonly NetworkPoint[], signal?: AbortSignal): Promise<ImageEvaluation[][]> {
    const bySet: ImageEvaluation[][] = [];
    const weights = new Map<NetworkPoint, Uint8Array>();
    for (const set of this.sets) bySet.push(await this.#evaluateSet(set, alphas, weights, signal));
    return alphas.map((_, k) => bySet.map((evaluations) => evaluations[k]!));
  }

  async #evaluateSet(
    set: OpenSet,
    alphas: readonly NetworkPoint[],
    weights: Map<NetworkPoint, Uint8Array>,
    signal: AbortSignal | undefined,
  ): Promise<ImageEvaluation[]> {
    const { classes } = this.#classifier;
    const tally = new PathTally(set.samples, classes, alphas, this.#ends.get(set), this.#lone);
    const approximations = new Approximations();
    const { width, height } = outputSize(this.#transform);
    const pixels = new Float32Array(batchImages * 3 * height * width);
    const layout = new ArenaLayout();
    const meter = new LogitMeter(layout, batchImages, classes);
    const source = new LogitSource(layout, batchImages, this.#classifier, weights);
    using arena = new Arena(layout);
    source.load(arena);
    await using loader = new ImageLoader(set.images, this.#transform, {
      batch: batchImages,
      ...(this.#threads !== undefined && { threads: this.#threads }),
      ...(signal && { signal }),
    });
    for (let from = 0; from < set.samples; from += batchImages) {
      const batch = await loader.next(pixels);
      const rows = batch!.indices.length;
      const shape = [rows, 3, height, width];
      const data = new Uint8Array(pixels.buffer, 0, 4 * shape.reduce((a, b) => a * b, 1));
      const inputs = new Map([['pixel_values', { dtype: 'F32' as DTypeName, shape, data }]]);
      const forward = async (wanted: readonly NetworkPoint[]) => {
        const results = await this.#model.forward(inputs, wanted, signal ? { signal } : {});
        return await source.run(this.#engine, arena, results, wanted, signal);
      };
      const logits = this.#interpolate
        ? // A polynomial in alpha: there are no points of other kinds then.
          approximations.add(rows, await logitsAlong(forward, tally.alphas as readonly number[], classes))
        : await forward(tally.alphas);
      await tally.add(meter, this.#engine, arena, set.labels, from, rows, logits, signal);
    }
    const evaluations = tally.evaluations(alphas, set);
    this.#ends.set(set, tally.ends);
    const approximation = this.#interpolate ? { approximation: approximations.mean() } : {};
    return evaluations.map((evaluation) => ({ ...evaluation, ...approximation }));
  }

  async close(): Promise<void> {
    this.#engine.close();
    await this.#model[Symbol.asyncDispose]();
  }
}

/** What the network gives for an image, and how many numbers of it. */
async function probe(
  model: NetworkModel,
  transform: ImageTransform,
  signal: AbortSignal | undefined,
): Promise<Map<string, number>> {
  const { width, height } = outputSize(transform);
  const shape = [1, 3, height, width];
  const data = new Uint8Array(4 * shape.reduce((a, b) => a * b, 1));
  const inputs = new Map([['pixel_values', { dtype: 'F32' as DTypeName, shape, data }]]);
  const [outputs] = await model.forward(inputs, [0], signal ? { signal } : {});
  return new Map([...outputs!].map(([name, output]) => [name, output.shape.at(-1)!]));
}

async function openClassifier(
  options: ImageEvaluatorOptions,
  model: NetworkModel,
  outputs: ReadonlyMap<string, number>,
): Promise<ImageClassifier> {
  const { zeroshot, finetuned = zeroshot, heads: apart, prompts, head, signal } = options;
  const { zeroshot: first, finetuned: second } = apart ?? { zeroshot, finetuned };
  const own = outputs.get('logits');
  if (own !== undefined) {
    if (apart || prompts || head !== undefined) throw ownHead(String(zeroshot));
    return { kind: 'own', classes: own };
  }
  const dimension = outputs.get('image_embeds');
  if (dimension === undefined) {
    throw new WisemergeError('ERR_CONFIG', `${zeroshot} gives neither logits nor image embeddings`, {
      file: String(zeroshot),
      hint: 'Sets of images are for image classifiers and CLIP.',
    });
  }
  if (prompts) {
    const opening = { ...(signal && { signal }) };
    await using from = await openCheckpoint(zeroshot, opening);
    await using to = await openCheckpoint(finetuned, opening);
    const built = await PromptHead.open(model, { zeroshot: from, finetuned: to }, prompts, signal);
    return { kind: 'prompts', classes: built.classes, dimension, head: built };
  }
  const heads = await openHeads(first, second, {
    ...(head !== undefined && { head }),
    ...(signal && { signal }),
  });
  if (heads.dimension === dimension) {
    return { kind: 'heads', classes: heads.classes, heads, apart: apart !== undefined };
  }
  throw new WisemergeError(
    'ERR_DATA_MISMATCH',
    `${heads.name} of ${first} takes ${heads.dimension} numbers; ${zeroshot} gives embeddings of ${dimension}`,
    { file: String(first), hint: 'Heads and encoder must belong together: wisemerge head makes one.' },
  );
}

function ownHead(zeroshot: string): WisemergeError {
  return new WisemergeError('ERR_USAGE', `${zeroshot} has a head of its own`, {
    file: zeroshot,
    hint: 'Leave `head`, `heads` and `templates` out: they are for the embeddings of CLIP.',
  });
}

function identityOf(classifier: ImageClassifier): object {
  switch (classifier.kind) {
    case 'own':
      return { head: null };
    case 'heads':
      return { head: [classifier.heads.name, headHash(classifier.heads)] };
    case 'prompts':
      return { tokenizer: classifier.head.tokenizer };
  }
}

async function openSet(source: ImageSetSource, transform: ImageTransform): Promise<OpenSet> {
  const { name, role, kind, ...opened } = source;
  const images = await openImageSet(opened);
  const { labels, groups, files } = images;
  const fingerprint = featureKey(images, { transform, encoder: '', dimension: 0, onCorrupt: 'error' });
  return { name, role, kind, images, labels, samples: files.length, fingerprint, ...(groups && { groups }) };
}
