import { resolve } from 'node:path';
import { beginCall } from '../../call-options.js';
import { openCheckpoint } from '../../checkpoint/checkpoint.js';
import { checkPlace } from '../../checkpoint/output-place.js';
import { OutputTransaction } from '../../checkpoint/transaction.js';
import { checkOutputFile, writeWhole } from '../../checkpoint/whole-file.js';
import { formatWords } from '../../merge/command.js';
import { type Check, checkOptions, flag, text, threadCount } from '../../merge/option-checks.js';
import { checkOutputPath } from '../../merge/plan.js';
import { ownCopy } from '../../own-copy.js';
import { NetworkModel } from '../network.js';
import { checkHasNoHead, writeModelWithHead } from './model-with-head.js';
import { checkTemplates, defaultTemplates, listOf, PromptHead } from './prompt-head.js';

export interface ZeroshotHeadOptions {
  /** A CLIP model of transformers or open_clip, with its tokenizer.json. */
  readonly model: string;
  /** Names of the classes in the order of the head's rows, or a file of them (see `readNames`). */
  readonly classNames: readonly string[] | string;
  /** Texts in which `{}` stands for the name, or a file of them. Default: `a photo of a {}.` */
  readonly templates?: readonly string[] | string;
  /** A new safetensors file; with `inModel` a new directory. */
  readonly out: string;
  /** Write a copy of the model that has the head, as `classifier.weight`: what fine-tuning on images starts from. */
  readonly inModel?: boolean;
  /** Replace an earlier one. */
  readonly force?: boolean;
  /** CPU threads; default: all. */
  readonly threads?: number;
  readonly signal?: AbortSignal;
  /** Prompts turned into embeddings so far. */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface ZeroshotHead {
  /** With `inModel` a directory. */
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
  /** Of what was in the output's place. */
  readonly warnings: readonly string[];
}

// The names and templates of classes are checked where they are read.
const checks: { readonly [Option in 'model' | 'out' | 'inModel' | 'force' | 'threads']: Check } = {
  model: text,
  out: text,
  inModel: flag,
  force: flag,
  threads: threadCount,
};

const headName = 'head.weight';

/**
 * Builds the zero-shot classifier of CLIP (see `PromptHead`). Writes `head.weight` [classes, dimension] in F32 without a
 * bias, for image embeddings of length 1; names and templates go into the file's metadata. With `inModel` it is in a copy
 * of the model instead, and they are in `wisemerge.json`.
 *
 * Throws ERR_USAGE, ERR_OUTPUT_EXISTS, ERR_OUTPUT_NOT_OURS, ERR_CONFIG (no CLIP, no tokenizer), ERR_DATA, ERR_IO and
 * what opening and evaluating a network throws.
 */
export async function makeZeroshotHead(options: ZeroshotHeadOptions): Promise<ZeroshotHead> {
  const started = performance.now();
  using _call = beginCall(options);
  const { signal, onProgress, classNames, templates: given = defaultTemplates, ...rest } = ownCopy(options);
  checkOptions(rest, checks, ['model', 'out']);
  const { model: path, inModel = false, force = false } = rest;
  const out = resolve(rest.out);
  if (!inModel) await checkOutputFile(out, { force });
  const names = await listOf(classNames, 'class names');
  const templates = await listOf(given, 'templates');
  checkTemplates(templates);
  await using checkpoint = await openCheckpoint(path, signal ? { signal } : {});
  if (inModel) {
    checkHasNoHead(checkpoint);
    checkOutputPath(out, [checkpoint]);
    await checkPlace(out, { kind: 'head', force });
  }
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
  const warnings: string[] = [];
  const weight = { dtype: 'F32', shape: [names.length, dimension], data } as const;
  if (inModel) {
    const command = formatCommand({ ...rest, classNames, templates: given });
    const { device } = model;
    const facts = { model: path, command, device, classNames: names, templates, scale };
    const transaction = await OutputTransaction.begin(out, { kind: 'head', force }, signal);
    try {
      await writeModelWithHead(transaction.directory, checkpoint, weight, facts, signal);
      await transaction.commit();
      warnings.push(...transaction.notes);
    } finally {
      await transaction.rollback();
    }
  } else {
    const metadata = {
      format: 'wisemerge head',
      class_names: JSON.stringify(names),
      templates: JSON.stringify(templates),
      scale: String(scale),
    };
    warnings.push(...(await writeWhole(out, [{ name: headName, ...weight }], metadata, { force })));
  }
  const seconds = (performance.now() - started) / 1000;
  const [classes, count] = [names.length, templates.length];
  return { file: out, classes, dimension, templates: count, scale, truncated, seconds, warnings };
}

/** The command line that builds it again, quoted for a POSIX shell. */
function formatCommand(options: Omit<ZeroshotHeadOptions, 'signal' | 'onProgress'>): string {
  const { model, classNames, templates = [], out, inModel, force, threads } = options;
  const command = formatWords(
    'wisemerge head',
    [],
    [
      ['model', model],
      ['classes', typeof classNames === 'string' ? classNames : undefined],
      ...(typeof templates === 'string'
        ? [['templates', templates] as const]
        : templates.map((template) => ['template', template] as const)),
      ['in-model', inModel],
      ['out', out],
      ['threads', threads],
      ['force', force],
    ],
  );
  // A command line has names in a file.
  return typeof classNames === 'string' ? command : `${command} # and classNames of wisemerge.json`;
}
