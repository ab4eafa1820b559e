import { resolve } from 'node:path';
import { checkCall } from '../../call-options.js';
import { openCheckpoint } from '../../checkpoint/checkpoint.js';
import { checkOutputFile, writeWhole } from '../../checkpoint/whole-file.js';
import { type Check, checkOptions, flag, text, whole } from '../../merge/option-checks.js';
import { NetworkModel } from '../network.js';
import { checkTemplates, defaultTemplates, listOf, PromptHead } from './prompt-head.js';

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

// The names and templates of classes are checked where they are read.
const checks: { readonly [Option in 'model' | 'out' | 'force' | 'threads']: Check } = {
  model: text,
  out: text,
  force: flag,
  threads: whole(1),
};

const headName = 'head.weight';

/**
 * Builds the zero-shot classifier of CLIP (see `PromptHead`). Writes `head.weight` [classes, dimension] in F32 without a
 * bias, for image embeddings of length 1; names and templates go into the file's metadata.
 *
 * Throws ERR_USAGE, ERR_OUTPUT_EXISTS, ERR_OUTPUT_NOT_OURS, ERR_CONFIG (no CLIP, no tokenizer), ERR_DATA, ERR_IO and
 * what opening and evaluating a network throws.
 */
export async function makeZeroshotHead(options: ZeroshotHeadOptions): Promise<ZeroshotHead> {
  const started = performance.now();
  checkCall(options);
  const { signal, onProgress, classNames, templates: given = defaultTemplates, ...rest } = options;
  checkOptions(rest, checks, ['model', 'out']);
  const { model: path, force = false } = rest;
  const out = resolve(options.out);
  await checkOutputFile(out, { force });
  const names = await listOf(classNames, 'class names');
  const templates = await listOf(given, 'templates');
  checkTemplates(templates);
  await using checkpoint = await openCheckpoint(path, options);
  await using model = await NetworkModel.open(path, undefined, options);
  const head = await PromptHead.open(
    model,
    { zeroshot: checkpoint },
    { classNames: names, templates },
    signal,
  );
  const [rows] = await head.weights([0], { signal, onProgress });
  const { truncated } = head;
  const scale = head.scaleAt(0);
  const dimension = rows!.length / names.length;
  const data = Buffer.from(rows!.buffer);
  await writeWhole(out, [{ name: headName, dtype: 'F32', shape: [names.length, dimension], data }], {
    format: 'wisemerge head',
    class_names: JSON.stringify(names),
    templates: JSON.stringify(templates),
    scale: String(scale),
  });
  const seconds = (performance.now() - started) / 1000;
  const [classes, count] = [names.length, templates.length];
  return { file: out, classes, dimension, templates: count, scale, truncated, seconds };
}
