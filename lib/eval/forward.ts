import { rename, rm, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { openCheckpoint } from '../checkpoint/checkpoint.js';
import { type TensorData, writeSafetensors } from '../checkpoint/write-safetensors.js';
import { ioError, WisemergeError } from '../errors.js';
import { checkAlphas } from '../merge/alpha.js';
import { type CandidateOutputs, NetworkModel } from './network.js';
import type { NetworkInput } from './programs/inputs.js';

export interface ForwardOptions {
  /** A model to evaluate as it is, in the place of a path. */
  readonly model?: string;
  /** Both ends of a path. */
  readonly zeroshot?: string;
  readonly finetuned?: string;
  readonly alphas?: readonly number[];
  /** Allow alphas outside [0, 1]. */
  readonly extrapolate?: boolean;
  /** A safetensors file with the inputs by the names that transformers gives them. */
  readonly inputs: string;
  /** A new safetensors file for the results. */
  readonly out: string;
  /** Names of the results wanted. Default: all. */
  readonly outputs?: readonly string[];
  /** CPU threads; default: all. */
  readonly threads?: number;
  readonly signal?: AbortSignal;
}

export interface ForwardResult {
  /** The program that ran: `clip`, `llama`, … */
  readonly architecture: string;
  readonly file: string;
  readonly outputs: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    /** Of an output of one number. */
    readonly value?: number;
  }[];
  readonly seconds: number;
}

/**
 * Evaluates a network on inputs from a file, at one or many alphas, without writing a merged model. Results are F32
 * tensors named `alpha_0.3.logits`, or `logits` where a single model was given.
 *
 * Throws ERR_USAGE, ERR_ALPHA_RANGE, ERR_OUTPUT_EXISTS, ERR_CONFIG (no program for this model), ERR_DATA_MISMATCH,
 * ERR_IO and what opening and reading checkpoints throws.
 */
export async function forward(options: ForwardOptions): Promise<ForwardResult> {
  const started = performance.now();
  const { signal } = options;
  const { first, second, alphas } = modelsOf(options);
  const out = resolve(options.out);
  await checkOutput(out);
  await using model = await NetworkModel.open(first, second, options);
  const inputs = await readInputs(options.inputs, model, signal);
  const results = await model.forward(inputs, alphas, options);
  const tensors = results.flatMap((outputs, k) =>
    tensorsOf(outputs, second === undefined ? '' : `alpha_${alphas[k]}.`),
  );
  await writeWhole(out, tensors);
  return {
    architecture: model.architecture.name,
    file: out,
    outputs: tensors.map(({ name, shape, floats }) => ({
      name,
      shape,
      ...(floats.length === 1 && { value: floats[0]! }),
    })),
    seconds: (performance.now() - started) / 1000,
  };
}

function modelsOf(options: ForwardOptions): { first: string; second?: string; alphas: readonly number[] } {
  const { model, zeroshot, finetuned, alphas, extrapolate = false } = options;
  if (model !== undefined) {
    if (zeroshot === undefined && finetuned === undefined && alphas === undefined) {
      return { first: model, alphas: [0] };
    }
  } else if (zeroshot !== undefined && finetuned !== undefined && alphas !== undefined) {
    checkAlphas(alphas, extrapolate);
    return { first: zeroshot, second: finetuned, alphas };
  }
  throw new WisemergeError('ERR_USAGE', 'forward needs either one model, or both ends of a path and alphas', {
    hint: 'Give --model, or --zeroshot, --finetuned and --alpha.',
  });
}

async function checkOutput(out: string): Promise<void> {
  const there = await stat(out).catch((error) => {
    if (error.code === 'ENOENT') return undefined;
    throw ioError(error, 'look for', out);
  });
  if (!there) return;
  throw new WisemergeError('ERR_OUTPUT_EXISTS', `${out} exists`, {
    file: out,
    hint: 'Remove it, or write elsewhere.',
  });
}

/** What the network reads of a file that may hold more. */
async function readInputs(
  path: string,
  model: NetworkModel,
  signal?: AbortSignal,
): Promise<Map<string, NetworkInput>> {
  await using file = await openCheckpoint(path, signal ? { signal } : {});
  const inputs = new Map<string, NetworkInput>();
  for (const { name, dtype, shape } of file.tensors.values()) {
    if (!model.inputNames.has(name)) continue;
    inputs.set(name, { dtype, shape, data: await file.readTensor(name) });
  }
  if (inputs.size === 0) throw model.missingInputs([...file.tensors.keys()], path);
  return inputs;
}

function tensorsOf(outputs: CandidateOutputs, prefix: string): (TensorData & { floats: Float32Array })[] {
  return [...outputs].map(([name, { shape, data }]) => ({
    name: prefix + name,
    dtype: 'F32',
    shape,
    data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    floats: data,
  }));
}

/** A file that is there is complete. */
async function writeWhole(out: string, tensors: readonly TensorData[]): Promise<void> {
  const partial = `${out}.${process.pid}.partial`;
  try {
    await writeSafetensors(partial, tensors, { format: 'wisemerge forward' });
    await rename(partial, out).catch((error) => {
      throw ioError(error, 'write', out);
    });
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}
