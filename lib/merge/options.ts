import { z } from 'zod';
import { WisemergeError } from '../errors.js';

/** Output dtypes by the names people use: torch's and safetensors'. */
const dtypeNames = {
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
export const defaultMemory = 64 * 2 ** 20;
const minMemory = 4 * 2 ** 20;

const bytes = z.number().int().positive();

const schema = z.strictObject({
  zeroshot: z.string().min(1),
  finetuned: z.string().min(1),
  alpha: z.union([z.number(), z.array(z.number())]),
  out: z.string().min(1),
  dtype: z.enum(Object.keys(dtypeNames) as [keyof typeof dtypeNames]).optional(),
  device: z
    .string()
    .regex(/^(auto|cpu|cuda(:\d+)?)$/, 'must be auto, cpu, cuda or cuda:N')
    .default('auto'),
  threads: z.number().int().min(1).max(1024).optional(),
  memory: bytes.min(minMemory, `must be at least ${minMemory} bytes`).default(defaultMemory),
  shardSize: bytes.optional(),
  force: z.boolean().default(false),
  extrapolate: z.boolean().default(false),
  readMode: z.enum(['direct', 'cached']).optional(),
});

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
  /** Directory to create. */
  readonly out: string;
  /**
   * Output dtype of all float tensors: torch's name (`bfloat16`) or safetensors' (`BF16`). Default: each
   * tensor's dtype in the zero-shot model.
   */
  readonly dtype?: keyof typeof dtypeNames;
  /** `auto` (default), `cpu`, `cuda` or `cuda:N`. */
  readonly device?: string;
  /** CPU threads of the kernels, the caller included. Default: all. */
  readonly threads?: number;
  /** Bytes of I/O buffers. Default 64 MiB. */
  readonly memory?: number;
  /** Bytes of tensor data per output file. Default: the zero-shot model's own files. */
  readonly shardSize?: number;
  /** Replace an earlier output of wisemerge. */
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
  readonly memory: number;
  readonly force: boolean;
  readonly extrapolate: boolean;
}

/** Checks the options' types and ranges. Throws ERR_USAGE naming the option. */
export function resolveOptions(options: MergeOptions): ResolvedOptions {
  const parsed = schema.safeParse(options);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const option = issue?.path.join('.') || 'options';
    throw new WisemergeError('ERR_USAGE', `${option}: ${issue?.message ?? 'invalid'}`, {
      details: { option },
    });
  }
  const { alpha, dtype, ...rest } = parsed.data;
  const several = Array.isArray(alpha);
  return {
    ...rest,
    alphas: several ? alpha : [alpha],
    several,
    dtype: dtype && dtypeNames[dtype],
  } as ResolvedOptions;
}
