import type { Checkpoint } from '../../checkpoint/checkpoint.js';
import { toFloats } from '../../checkpoint/to-floats.js';
import { WisemergeError } from '../../errors.js';
import { alphaAt, type NetworkModel, type NetworkPoint } from '../network.js';
import { readNames } from './name-list.js';
import { batchesByLength, tokenRows } from './token-batches.js';
import { type FittedText, TextTokenizer } from './tokenizer.js';

/** What a classifier is built from: `{}` of each template stands for the name of a class. */
export interface Prompts {
  readonly classNames: readonly string[];
  readonly templates: readonly string[];
}

export const defaultTemplates: readonly string[] = ['a photo of a {}.'];
export const scaleName = 'logit_scale';
/** Prompts whose embeddings are in memory together, and their tokens in one run of the network. */
const [mostPrompts, batchTokens] = [4096, 16384];

export interface PromptHeadRun {
  readonly signal?: AbortSignal | undefined;
  /** Prompts turned into embeddings so far. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/**
 * The zero-shot classifier of CLIP (Radford et al., 2021, section 3.1; Wortsman et al., 2021), at any point between two
 * models: a class's row is the mean of the unit embeddings of its prompts, made a unit vector again, times e^logit_scale
 * (100 for the models of OpenAI). Means and lengths are computed in f64 and rounded once.
 */
export class PromptHead {
  readonly classes: number;
  /** Hash of the tokenizer. */
  readonly tokenizer: string;
  /** Prompts that were too long for the model and lost their end. */
  readonly truncated: number;
  /** The same at all points: the text tower and the scale are equal in both models. */
  readonly constant: boolean;
  readonly #model: NetworkModel;
  readonly #prompts: Prompts;
  readonly #texts: readonly FittedText[];
  readonly #scales: readonly [number, number];
  #same: Float32Array | undefined;

  private constructor(
    model: NetworkModel,
    prompts: Prompts,
    tokenizer: string,
    texts: readonly FittedText[],
    scales: readonly [number, number],
    constant: boolean,
  ) {
    this.classes = prompts.classNames.length;
    this.tokenizer = tokenizer;
    this.truncated = texts.filter((text) => text.truncated).length;
    this.constant = constant;
    this.#model = model;
    this.#prompts = prompts;
    this.#texts = texts;
    this.#scales = scales;
  }

  /**
   * Turns all prompts into tokens; tokenizer.json is that of the zero-shot model. Throws ERR_USAGE (templates), ERR_CONFIG
   * (no CLIP, no tokenizer) and what evaluating a network throws.
   */
  static async open(
    model: NetworkModel,
    checkpoints: { readonly zeroshot: Checkpoint; readonly finetuned?: Checkpoint },
    prompts: Prompts,
    signal?: AbortSignal,
  ): Promise<PromptHead> {
    checkTemplates(prompts.templates);
    const { zeroshot, finetuned = zeroshot } = checkpoints;
    const { name, longest = Number.POSITIVE_INFINITY } = model.architecture;
    const scales = [await readScale(zeroshot, name), await readScale(finetuned, name)] as const;
    const tokenizer = await TextTokenizer.open(zeroshot);
    const texts = prompts.classNames.flatMap((className) =>
      prompts.templates.map((template) =>
        tokenizer.encodeWithin(
          template.replaceAll('{}', () => className),
          longest,
        ),
      ),
    );
    if (texts.some(({ closed }) => !closed)) throw noEnd(zeroshot.path);
    // A first run has the weights of the text tower read, and so compared.
    const before = model.differing.length;
    await embed(model, texts.slice(0, 1), [0], signal);
    const constant = model.differing.length === before && scales[0] === scales[1];
    return new PromptHead(model, prompts, tokenizer.hash, texts, scales, constant);
  }

  /** Both scales differ: a tensor of the models that results depend on. */
  get scaleDiffers(): boolean {
    return this.#scales[0] !== this.#scales[1];
  }

  /** e^logit_scale at a point. */
  scaleAt(point: NetworkPoint): number {
    const [x, y] = this.#scales;
    return Math.exp(x + alphaAt(point, scaleName) * (y - x));
  }

  /** The classifier [classes, dimension] at each point. Throws ERR_EVALUATION for rows that are not finite. */
  async weights(
    points: readonly NetworkPoint[],
    { signal, onProgress }: PromptHeadRun = {},
  ): Promise<Float32Array[]> {
    if (!this.constant) return await this.#build(points, { signal, onProgress });
    this.#same ??= (await this.#build([0], { signal, onProgress }))[0]!;
    return points.map(() => this.#same!);
  }

  async #build(
    points: readonly NetworkPoint[],
    { signal, onProgress }: PromptHeadRun,
  ): Promise<Float32Array[]> {
    const { classNames, templates } = this.#prompts;
    const each = templates.length;
    const together = Math.max(1, Math.floor(mostPrompts / each));
    const rows: Float32Array[][] = points.map(() => []);
    for (let first = 0; first < classNames.length; first += together) {
      const some = classNames.slice(first, first + together);
      const texts = this.#texts.slice(first * each, (first + some.length) * each);
      const embeddings = await embed(this.#model, texts, points, signal);
      for (const [k, point] of points.entries()) {
        const scale = this.scaleAt(point);
        some.forEach((name, c) => {
          rows[k]!.push(rowOf(embeddings[k]!.slice(c * each, (c + 1) * each), scale, name));
        });
      }
      onProgress?.((first + some.length) * each, this.#texts.length);
    }
    return rows.map((all) => {
      const dimension = all[0]!.length;
      const weight = new Float32Array(all.length * dimension);
      for (const [c, row] of all.entries()) weight.set(row, c * dimension);
      return weight;
    });
  }
}

/** A list, or what a file of it has (`readNames`). Throws ERR_USAGE for an empty one, and as `readNames`. */
export async function listOf(given: readonly string[] | string, what: string): Promise<readonly string[]> {
  const list = typeof given === 'string' ? await readNames(given, what) : given;
  if (!Array.isArray(list) || !list.every((text) => typeof text === 'string')) {
    throw new WisemergeError('ERR_USAGE', `the ${what} are not a list of texts`, {
      hint: 'Give a list of texts, or the path of a file that has them.',
    });
  }
  if (list.length > 0 && list.every((text) => text.trim() !== '')) return list;
  throw new WisemergeError('ERR_USAGE', `there are no ${what}, or an empty one`, {
    hint: 'A head needs a name for every class, and at least one template.',
  });
}

/** Throws ERR_USAGE. */
export function checkTemplates(templates: readonly string[]): void {
  const without = templates.find((template) => !template.includes('{}'));
  if (without === undefined) return;
  throw new WisemergeError(
    'ERR_USAGE',
    `the template ${JSON.stringify(without)} has no place for the name of a class`,
    { hint: 'Write {} where the name goes: a photo of a {}.' },
  );
}

/** The logarithm of what rows are multiplied by. */
async function readScale(checkpoint: Checkpoint, architecture: string): Promise<number> {
  const { path } = checkpoint;
  const info = checkpoint.tensors.get(scaleName);
  if (info?.count === 1) {
    const [scale] = toFloats(await checkpoint.readTensor(info.name), info.dtype, info.name);
    return scale!;
  }
  throw new WisemergeError(
    'ERR_CONFIG',
    `${path} (${architecture}) is not a CLIP model: it has no logit_scale`,
    {
      file: path,
      hint: 'Zero-shot heads are built from CLIP models of transformers and open_clip.',
    },
  );
}

/** The embedding of each text, of length 1, at each point. */
async function embed(
  model: NetworkModel,
  texts: readonly FittedText[],
  points: readonly NetworkPoint[],
  signal: AbortSignal | undefined,
): Promise<Float32Array[][]> {
  const embeddings: Float32Array[][] = points.map(() => []);
  for (const batch of batchesByLength(
    texts.map(({ ids }) => ids.length),
    batchTokens,
  )) {
    const inputs = new Map([['input_ids', tokenRows(batch.map((i) => texts[i]!.ids))]]);
    const results = await model.forward(inputs, points, {
      ...(signal && { signal }),
      outputs: ['text_embeds'],
    });
    for (const [k, outputs] of results.entries()) {
      const { data, shape } = outputs.get('text_embeds')!;
      const width = shape[1]!;
      for (const [n, i] of batch.entries()) embeddings[k]![i] = data.subarray(n * width, (n + 1) * width);
    }
  }
  return embeddings;
}

/** The direction of the mean of unit vectors, of length `scale`. */
function rowOf(embeddings: readonly Float32Array[], scale: number, name: string): Float32Array {
  const units = embeddings.map((embedding) => unit(Float64Array.from(embedding)));
  const mean = units[0]!.map((_, d) => units.reduce((sum, vector) => sum + vector[d]!, 0) / units.length);
  const row = Float32Array.from(unit(mean), (value) => scale * value);
  if (row.every(Number.isFinite)) return row;
  throw new WisemergeError('ERR_EVALUATION', `the embedding of class ${JSON.stringify(name)} is not finite`, {
    hint: 'Check the weights of the model for NaN and infinities.',
  });
}

function unit(vector: Float64Array): Float64Array {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return vector.map((value) => value / length);
}

function noEnd(path: string): WisemergeError {
  return new WisemergeError(
    'ERR_CONFIG',
    `the tokenizer of ${path} adds no end token to a text; CLIP takes the embedding of a text there`,
    { file: path, hint: "Put the model's own tokenizer.json beside its weights." },
  );
}
