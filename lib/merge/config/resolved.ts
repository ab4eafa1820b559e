import type { DTypeName } from '../../native.js';
import type { ParameterValues } from '../methods/spec.js';
import type { ModelReference } from './model-reference.js';
import type { TokenizerConfig } from './tokenizer.js';

/** A configuration applied to the headers of its models: plain data, one entry per output tensor. */
export interface ResolvedMerge {
  /** The method as configured. */
  readonly method: string;
  /** Distinct, in the order in which the configuration names them; an unlisted base comes last. */
  readonly models: readonly ModelReference[];
  /** Checkpoints of statistics (Fisher information, Gram matrices), distinct. */
  readonly statistics: readonly ModelReference[];
  /** Index into `models` of `base_model`. */
  readonly base?: number;
  /** Index into `models`: configuration and tokenizer come from it. */
  readonly donor: number;
  /** In output order. */
  readonly tensors: readonly ResolvedTensor[];
  /** Working dtype as configured. It decides only the output's where `outDtype` is absent. */
  readonly dtype?: DTypeName;
  readonly outDtype?: DTypeName;
  readonly tokenizer?: TokenizerConfig;
  /** Of the output, once the tokenizers have been read. */
  readonly vocabulary?: { readonly tokens: number; readonly rows: number };
  readonly chatTemplate?: string;
  /** Changes to the donor's config.json, by dotted path: `text_config.num_hidden_layers`. */
  readonly configChanges: Readonly<Record<string, unknown>>;
  readonly warnings: readonly string[];
}

/** One output tensor and everything its kernel needs besides data. */
export interface ResolvedTensor {
  readonly name: string;
  /** The method as configured, or `passthrough` where a tensor is in one model only. */
  readonly method: string;
  /** The method whose arithmetic computes it, with `parameters` as that one has them. */
  readonly kernel: string;
  /** Without the base, in configuration order. */
  readonly inputs: readonly ResolvedInput[];
  readonly base?: TensorReference;
  readonly parameters: ParameterValues;
  /** Of the base or the first input; with `remapped`, the rows of the output's vocabulary once that is known. */
  readonly shape: readonly number[];
  readonly dtype: DTypeName;
  /** Rows follow the vocabulary of `tokenizer` and are remapped before they are merged. */
  readonly remapped?: true;
  /** Integers: all inputs and the base must hold equal bytes, and are copied. */
  readonly mustEqual?: true;
  /** The embedding to which the donor ties it: both are to be merged alike, with the same random masks. */
  readonly twin?: string;
  /** Layer of the output and how many there are in its stack; absent outside layers. */
  readonly layer?: { readonly stack: string; readonly index: number; readonly count: number };
}

export interface TensorReference {
  /** Index into `ResolvedMerge.models`. */
  readonly model: number;
  readonly tensor: string;
}

export interface ResolvedInput extends TensorReference {
  readonly parameters: ParameterValues;
  /** In `ResolvedMerge.statistics[model]`. */
  readonly statistics?: TensorReference;
}
