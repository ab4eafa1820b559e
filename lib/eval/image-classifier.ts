import type { Engine } from '../native.js';
import type { Arena, ArenaLayout } from './arena.js';
import { HeadProduct } from './head-product.js';
import type { HeadPair } from './linear-head.js';
import { alphaAt, type CandidateOutputs, type NetworkPoint } from './network.js';
import { type PromptHead, scaleName } from './text/prompt-head.js';

/** How logits come from what a network gives for images. */
export type ImageClassifier =
  | { readonly kind: 'own'; readonly classes: number }
  | { readonly kind: 'heads'; readonly classes: number; readonly heads: HeadPair; readonly apart: boolean }
  | {
      readonly kind: 'prompts';
      readonly classes: number;
      readonly dimension: number;
      readonly head: PromptHead;
    };

/** Tensors that differ between the models and that the classifier alone reads; not those of heads in files of their own. */
export function classifierTensors(classifier: ImageClassifier): string[] {
  if (classifier.kind === 'prompts') return classifier.head.scaleDiffers ? [scaleName] : [];
  if (classifier.kind === 'own' || classifier.apart) return [];
  const { name, zeroshot, finetuned, biases } = classifier.heads;
  const same = (a: Uint8Array | Float32Array, b: Uint8Array | Float32Array) =>
    a.every((value, i) => value === b[i]);
  return [
    ...(same(zeroshot, finetuned) ? [] : [name]),
    ...(biases && !same(biases.zeroshot, biases.finetuned) ? [name.replace(/weight$/, 'bias')] : []),
  ];
}

/** Turns the outputs of a batch into logits; its memory is part of the caller's arena. */
export class LogitSource {
  readonly #classifier: ImageClassifier;
  readonly #product: HeadProduct | undefined;
  readonly #weights: Map<NetworkPoint, Uint8Array>;

  /** `weights`: of prompts, the classifiers of points, built when they are first asked for. */
  constructor(
    layout: ArenaLayout,
    rows: number,
    classifier: ImageClassifier,
    weights: Map<NetworkPoint, Uint8Array>,
  ) {
    this.#classifier = classifier;
    this.#weights = weights;
    if (classifier.kind === 'heads') this.#product = new HeadProduct(layout, rows, classifier.heads);
    if (classifier.kind === 'prompts') {
      const { classes, dimension } = classifier;
      const none = new Uint8Array(4 * classes * dimension);
      this.#product = new HeadProduct(layout, rows, headOf(classes, dimension, none));
    }
  }

  load(arena: Arena): void {
    this.#product?.load(arena);
  }

  /** Logits [rows, classes] at each point. */
  async run(
    engine: Engine,
    arena: Arena,
    results: readonly CandidateOutputs[],
    points: readonly NetworkPoint[],
    signal: AbortSignal | undefined,
  ): Promise<Float32Array[]> {
    const classifier = this.#classifier;
    if (classifier.kind === 'own') return results.map((outputs) => outputs.get('logits')!.data);
    if (classifier.kind === 'prompts') await this.#prepare(classifier.head, points, signal);
    const logits: Float32Array[] = [];
    for (const [k, outputs] of results.entries()) {
      const point = points[k]!;
      if (classifier.kind === 'prompts') {
        const { classes, dimension } = classifier;
        this.#product!.load(arena, headOf(classes, dimension, this.#weights.get(point)!));
      }
      const alpha = classifier.kind === 'heads' ? alphaAt(point, classifier.heads.name) : 0;
      const embeddings = outputs.get('image_embeds')!.data;
      logits.push(await this.#product!.run(engine, arena, embeddings, alpha, signal));
    }
    return logits;
  }

  async #prepare(
    head: PromptHead,
    points: readonly NetworkPoint[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const missing = points.filter((point) => !this.#weights.has(point));
    if (missing.length === 0) return;
    const built = await head.weights(missing, { signal });
    for (const [k, point] of missing.entries()) {
      this.#weights.set(point, new Uint8Array(built[k]!.buffer));
    }
  }
}

function headOf(classes: number, dimension: number, weight: Uint8Array): HeadPair {
  return { classes, dimension, dtype: 'F32', zeroshot: weight, finetuned: weight, name: 'prompts' };
}
