import { resolve } from 'node:path';
import { beginCall } from '../call-options.js';
import { openCheckpoint } from '../checkpoint/checkpoint.js';
import { checkOutputFile, writeWhole } from '../checkpoint/whole-file.js';
import type { TensorData } from '../checkpoint/write-safetensors.js';
import { WisemergeError } from '../errors.js';
import { checkAlphas } from '../merge/alpha.js';
import {
  type Check,
  checkOptions,
  device,
  flag,
  isNumber,
  names,
  oneOf,
  text,
  threadCount,
} from '../merge/option-checks.js';
import { checkOutputPath } from '../merge/plan.js';
import { ownCopy } from '../own-copy.js';
import { precisions } from '../precision.js';
import { type CandidateOutputs, NetworkModel } from './network.js';
import type { NetworkDevice } from './network-device.js';
import type { NetworkInput } from './programs/inputs.js';

export interface ForwardOptions extends NetworkDevice {
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
  /** Replace an earlier file of results. */
  readonly force?: boolean;
  /** Names of the results wanted. Default: all. */
  readonly outputs?: readonly string[];
  /** CPU threads; default: all. */
  readonly threads?: number;
  readonly signal?: AbortSignal;
}

export interface ForwardResult {
  /** The program that ran: `clip`, `llama`, … */
  readonly architecture: string;
  /** Where it ran: `cpu` or `cuda:N`. */
  readonly device: string;
  readonly file: string;
  readonly outputs: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    /** Of an output of one number. */
    readonly value?: number;
  }[];
  readonly seconds: number;
  /** What became of files that killed runs had left beside this one. */
  readonly warnings: readonly string[];
}

const numbers: Check = (value) =>
  Array.isArray(value) && value.every(isNumber) ? undefined : 'must be a list of numbers';

const checks: { readonly [Option in keyof Omit<ForwardOptions, 'signal'>]-?: Check } = {
  model: text,
  zeroshot: text,
  finetuned: text,
  alphas: numbers,
  extrapolate: flag,
  inputs: text,
  out: text,
  force: flag,
  outputs: (value) => names(value) ?? ((value as []).length > 0 ? undefined : 'must name one at least'),
  device,
  precision: oneOf(...precisions),
  threads: threadCount,
};

/**
 * Evaluates a network on inputs from a file, at one or many alphas, without writing a merged model. Results are F32
 * tensors named `alpha_0.3.logits`, or `logits` where a single model was given.
 *
 * Throws ERR_USAGE, ERR_ALPHA_RANGE, ERR_OUTPUT_EXISTS, ERR_OUTPUT_NOT_OURS, ERR_OUTPUT_IS_INPUT,
 * ERR_CONFIG (no program for this model), ERR_DATA_MISMATCH,
 * ERR_DEVICE_UNAVAILABLE, ERR_DEVICE_MEMORY, ERR_IO and what opening and reading checkpoints throws.
 */
export async function forward(given: ForwardOptions): Promise<ForwardResult> {
  const started = performance.now();
  using _call = beginCall(given);
  const options = ownCopy(given);
  const { signal, ...rest } = options;
  checkOptions(rest, checks, ['inputs', 'out']);
  const { first, second, alphas } = modelsOf(options);
  const out = resolve(options.out);
  checkOutputPath(out, [
    { path: options.inputs },
    { path: first },
    ...(second === undefined ? [] : [{ path: second }]),
  ]);
  await checkOutputFile(out, options);
  await using model = await NetworkModel.open(first, second, {
    ...options,
    device: options.device ?? 'auto',
  });
  const inputs = await readInputs(options.inputs, model, signal);
  const results = await model.forward(inputs, alphas, options);
  const tensors = results.flatMap((outputs, k) =>
    tensorsOf(outputs, second === undefined ? '' : `alpha_${alphas[k]}.`),
  );
  const warnings = await writeWhole(out, tensors, { format: 'wisemerge forward' }, options);
  return {
    architecture: model.architecture.name,
    device: model.device,
    file: out,
    outputs: tensors.map(({ name, shape, floats }) => ({
      name,
      shape,
      ...(floats.length === 1 && { value: floats[0]! }),
    })),
    seconds: (performance.now() - started) / 1000,
    warnings,
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
    hint: 'Give model (--model), or zeroshot, finetuned and alpha (--zeroshot, --finetuned, --alpha).',
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
