import { failOption } from '../call-options.js';
import {
  bytes,
  type Check,
  checkOptions,
  device,
  flag,
  isNumber,
  oneOf,
  text,
  threadCount,
} from './option-checks.js';

/** Output dtypes by the names people use: torch's and safetensors'. */
export const dtypeNames = {
  float64: 'F64',
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  float8_e4m3fn: 'F8_E4M3',
  float8_e5m2: 'F8_E5M2',
  F64: 'F64',
  F32: 'F32',
  F16: 'F16',
  BF16: 'BF16',
  F8_E4M3: 'F8_E4M3',
  F8_E5M2: 'F8_E5M2',
} as const;

export type OutputDType = (typeof dtypeNames)[keyof typeof dtypeNames];

/** Ring of I/O buffers, in bytes, when `memory` is not given: enough to keep a disk busy. */
export const defaultMemory = 80 * 2 ** 20;
export const minMemory = 4 * 2 ** 20;

/** What to merge, and how. Sizes are in bytes. */
export interface MergeOptions {
  /** θ₀: a .safetensors file, an index, or a model directory. */
  readonly zeroshot: string;
  /** θ₁, fine-tuned from the zero-shot model. */
  readonly finetuned: string;
  /**
   * One value: the model is written to `out`. A list: one model per value, to `out/alpha_0.1000` and so on,
   * from one reading of the inputs.
   */
  readonly alpha: number | readonly number[];
  /**
   * By name, tensors that are interpolated at an alpha of their own, in place of `alpha`, which is one value then. A
   * sweep with `search: layers` finds them (`sweepAlphas`).
   */
  readonly tensorAlphas?: Readonly<Record<string, number>>;
  /** Directory to create. */
  readonly out: string;
  /**
   * Output dtype of all float tensors: torch's name (`bfloat16`) or safetensors' (`BF16`). Default: each
   * tensor's dtype in the zero-shot model.
   */
  readonly dtype?: keyof typeof dtypeNames;
  /** `auto` (default), `cpu`, `cuda` or `cuda:N`. */
  readonly device?: string;
  /** Blocks that the CPU computes at the same time. Default: as many as are under way, and CPUs. */
  readonly threads?: number;
  /** Most bytes of I/O buffers. Default 80 MiB. */
  readonly memory?: number;
  /** Bytes of tensor data per output file. Default: the zero-shot model's own files. */
  readonly shardSize?: number;
  /** Replace an earlier output of the same command. */
  readonly force?: boolean;
  /** Allow alpha outside [0, 1]. */
  readonly extrapolate?: boolean;
  /** Read past (`direct`) or through (`cached`) the page cache. Default: by what is in the cache. */
  readonly readMode?: 'direct' | 'cached';
}

/** `MergeOptions` with defaults filled in. */
export interface ResolvedOptions extends Omit<MergeOptions, 'alpha' | 'dtype'> {
  readonly alphas: readonly number[];
  readonly several: boolean;
  readonly dtype: OutputDType | undefined;
  readonly device: string;
  readonly force: boolean;
  readonly extrapolate: boolean;
}

const checks: { readonly [Option in keyof Required<MergeOptions>]: Check } = {
  zeroshot: text,
  finetuned: text,
  alpha: (value) =>
    isNumber(value) || (Array.isArray(value) && value.every(isNumber))
      ? undefined
      : 'must be a number or a list of numbers',
  tensorAlphas: (value) =>
    typeof value === 'object' && value !== null && Object.values(value).every(isNumber)
      ? undefined
      : 'must be an object of numbers by tensor',
  out: text,
  dtype: oneOf(...Object.keys(dtypeNames)),
  device,
  threads: threadCount,
  memory: bytes(minMemory, '--memory 4MiB'),
  shardSize: bytes(1, '--shard-size 5GB'),
  force: flag,
  extrapolate: flag,
  readMode: oneOf('direct', 'cached'),
};
const required = ['zeroshot', 'finetuned', 'alpha', 'out'];

/** Checks the options' names, types and ranges. Throws ERR_USAGE naming the option. */
export function resolveOptions(options: MergeOptions): ResolvedOptions {
  checkOptions(options, checks, required);
  const { alpha, dtype, device: chosen = 'auto', force = false, extrapolate = false, ...rest } = options;
  const several = typeof alpha !== 'number';
  if (several && rest.tensorAlphas) failOption('tensorAlphas', 'goes with one alpha, for all other tensors');
  return {
    ...rest,
    device: chosen,
    force,
    extrapolate,
    several,
    alphas: several ? alpha : [alpha],
    dtype: dtype && dtypeNames[dtype],
  };
}
