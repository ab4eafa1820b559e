import { resolve } from 'node:path';
import { type Checkpoint, openCheckpoint } from '../../checkpoint/checkpoint.js';
import { toFloats } from '../../checkpoint/to-floats.js';
import { checkOutputFile, writeWhole } from '../../checkpoint/whole-file.js';
import { WisemergeError } from '../../errors.js';
import { NetworkModel } from '../network.js';
import { readNames } from './name-list.js';
import { batchesByLength, tokenRows } from './token-batches.js';
import { type FittedText, TextTokenizer } from './tokenizer.js';

export interface ZeroshotHeadOptions {
  /** A CLIP model of transformers or open_clip, with its tokenizer.json. */
  readonly model: string;
  /** Names of the classes in the order of the head's rows, or a file of them (see `readNames`). */
  readonly classNames: readonly string[] | string;
  /** Texts in which `{}` stands for the name, or a file of them. Default: `a photo of a {}.` */
  readonly templates?: readonly string[] | string;
  /** A new safetensors file. */
  readonly out: string;
  /** Replace an earlier one. */
  readonly force?: boolean;
  /** CPU threads; default: all. */
  readonly threads?: number;
  readonly signal?: AbortSignal;
  /** Prompts turned into embeddings so far. */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface ZeroshotHead {
  readonly file: string;
  readonly classes: number;
  /** Numbers of an embedding. */
  readonly dimension: number;
  readonly templates: number;
  /** What rows are multiplied by: e to the model's `logit_scale`. */
  readonly scale: number;
  /** Prompts that were too long for the model and lost their end. */
  readonly truncated: number;
  readonly seconds: number;
}

const defaultTemplates = ['a photo of a {}.'];
const headName = 'head.weight';
/** Prompts whose embeddings are in memory together, and their tokens in one run of the network. */
const [mostPrompts, batchTokens] = [4096, 16384];

/**
 * Builds the zero-shot classifier of CLIP (Radford et al., 2021, section 3.1; Wortsman et al., 2021): a class's row is
 * the mean of the unit embeddings of its prompts, made a unit vector again, times e^logit_scale (100 for the models of
 * OpenAI). Writes `head.weight` [classes, dimension] in F32 without a bias, for image embeddings of length 1; names and
 * templates go into the file's metadata. Means and lengths are computed in f64 and rounded once.
 *
 * Throws ERR_USAGE, ERR_OUTPUT_EXISTS, ERR_OUTPUT_NOT_OURS, ERR_CONFIG (no CLIP, no tokenizer), ERR_DATA, ERR_IO and
 * what opening and evaluating a network throws.
 */
export async function makeZeroshotHead(options: ZeroshotHeadOptions): Promise<ZeroshotHead> {
  const started = performance.now();
  const { model: path, force = false, signal, onProgress } = options;
  const out = resolve(options.out);
  await checkOutputFile(out, { force });
  const names = await listOf(options.classNames, 'class names');
  const templates = await listOf(options.templates ?? defaultTemplates, 'templates');
  checkTemplates(templates);
  await using checkpoint = await openCheckpoint(path, options);
  await using model = await NetworkModel.open(path, undefined, options);
  const scale = await readScale(checkpoint, model.architecture.name);
  const tokenizer = await TextTokenizer.open(checkpoint);
  const longest = model.architecture.longest ?? Number.POSITIVE_INFINITY;
  const together = Math.max(1, Math.floor(mostPrompts / templates.length));
  const rows: Float32Array[] = [];
  let truncated = 0;
  for (let first = 0; first < names.length; first += together) {
    const some = names.slice(first, first + together);
    const texts = some.flatMap((name) =>
      templates.map((template) =>
        tokenizer.encodeWithin(
          template.replaceAll('{}', () => name),
          longest,
        ),
      ),
    );
    if (texts.some(({ closed }) => !closed)) throw noEnd(path);
    truncated += texts.filter((text) => text.truncated).length;
    const embeddings = await embed(model, texts, signal);
    some.forEach((name, c) => {
      rows.push(rowOf(embeddings.slice(c * templates.length, (c + 1) * templates.length), scale, name));
    });
    onProgress?.(rows.length * templates.length, names.length * templates.length);
  }
  const dimension = rows[0]!.length;
  const weight = Buffer.concat(rows.map((row) => Buffer.from(row.buffer)));
  await writeWhole(out, [{ name: headName, dtype: 'F32', shape: [names.length, dimension], data: weight }], {
    format: 'wisemerge head',
    class_names: JSON.stringify(names),
    templates: JSON.stringify(templates),
    scale: String(scale),
  });
  const seconds = (performance.now() - started) / 1000;
  const [classes, count] = [names.length, templates.length];
  return { file: out, classes, dimension, templates: count, scale, truncated, seconds };
}

async function listOf(given: readonly string[] | string, what: string): Promise<readonly string[]> {
  const list = typeof given === 'string' ? await readNames(given, what) : given;
  if (list.length > 0 && list.every((text) => text.trim() !== '')) return list;
  throw new WisemergeError('ERR_USAGE', `there are no ${what}, or an empty one`, {
    hint: 'A head needs a name for every class, and at least one template.',
  });
}

function checkTemplates(templates: readonly string[]): void {
  const without = templates.find((template) => !template.includes('{}'));
  if (without === undefined) return;
  throw new WisemergeError(
    'ERR_USAGE',
    `the template ${JSON.stringify(without)} has no place for the name of a class`,
    { hint: 'Write {} where the name goes: a photo of a {}.' },
  );
}

/** e^logit_scale. */
async function readScale(checkpoint: Checkpoint, architecture: string): Promise<number> {
  const { path } = checkpoint;
  const info = checkpoint.tensors.get('logit_scale');
  if (info?.count === 1) {
    const [scale] = toFloats(await checkpoint.readTensor(info.name), info.dtype, info.name);
    return Math.exp(scale!);
  }
  throw new WisemergeError('ERR_CONFIG', `${path} (${architecture}) is no CLIP: it has no logit_scale`, {
    file: path,
    hint: 'Zero-shot heads are built from CLIP models of transformers and open_clip.',
  });
}

/** The embedding of each text, of length 1. */
async function embed(
  model: NetworkModel,
  texts: readonly FittedText[],
  signal: AbortSignal | undefined,
): Promise<Float32Array[]> {
  const embeddings: Float32Array[] = [];
  for (const batch of batchesByLength(
    texts.map(({ ids }) => ids.length),
    batchTokens,
  )) {
    const inputs = new Map([['input_ids', tokenRows(batch.map((i) => texts[i]!.ids))]]);
    const [outputs] = await model.forward(inputs, [0], {
      ...(signal && { signal }),
      outputs: ['text_embeds'],
    });
    const { data, shape } = outputs!.get('text_embeds')!;
    for (const [n, i] of batch.entries()) embeddings[i] = data.subarray(n * shape[1]!, (n + 1) * shape[1]!);
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
    hint: 'Check that the weights of the model are.',
  });
}

function unit(vector: Float64Array): Float64Array {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return vector.map((value) => value / length);
}

function noEnd(path: string): WisemergeError {
  return new WisemergeError(
    'ERR_CONFIG',
    `the tokenizer of ${path} puts no token behind a text; CLIP embeds a text at its end token`,
    { file: path, hint: "Put the model's own tokenizer.json beside its weights." },
  );
}
