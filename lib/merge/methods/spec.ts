/** Numbers by parameter name; booleans are 1 and 0. */
export type ParameterValues = Readonly<Record<string, number>>;

/** One parameter as users write it in `parameters:`. */
export interface ParameterSpec {
  readonly name: string;
  /** `global`: one value per output tensor. `model`: one per input of it. */
  readonly scope: 'global' | 'model';
  readonly type: 'number' | 'boolean' | 'integer';
  /** Where the configuration gives none. Neither this nor `optional`: the parameter is required. */
  readonly default?: number;
  /** Has no default and may be left out. */
  readonly optional?: true;
  /** The values that are allowed; every finite number where it is absent. */
  readonly range?: Range;
  /** Accepted for the sake of existing files and without effect; says why. */
  readonly ignored?: string;
  readonly doc: string;
}

/** An interval; an end is part of it unless it is `open`. */
export interface Range {
  readonly min?: number;
  readonly max?: number;
  readonly open?: 'min' | 'max' | 'both';
}

/** The numbers of one output tensor: global ones, and those of each input in configuration order. */
export interface TensorValues {
  readonly parameters: ParameterValues;
  /** Without the base where the method has one. */
  readonly inputs: readonly ParameterValues[];
}

/** What a method finds wrong with the numbers of a tensor before any work. */
export type Finding =
  | { readonly error: string; readonly fix: string; readonly warning?: never }
  | { readonly warning: string; readonly error?: never };

/** Where a method comes from. */
export interface Source {
  readonly title: string;
  /** Number on arXiv. */
  readonly arxiv?: string;
  readonly section?: string;
  readonly url?: string;
}

/**
 * What the base model is to a method. `required`: the formula needs it. `optional`: the formula changes with
 * it. `donor`: only the configuration and the tokenizer come from it; it takes part if it is listed.
 */
export type BaseRole = 'required' | 'optional' | 'donor';

/** A merge method as data: what `plan`, the reader of configurations and the documentation know of it. */
export interface MethodSpec {
  readonly name: string;
  readonly title: string;
  readonly summary: string;
  /** One line per step. x_i input, b base, d_i = x_i - b, w_i weight, N inputs, norms over a whole tensor. */
  readonly formula: readonly string[];
  readonly source: Source;
  readonly parameters: readonly ParameterSpec[];
  readonly base: BaseRole;
  /** Inputs besides the base (`required`, `optional`), or all of them (`donor`). */
  readonly models: { readonly min: number; readonly max?: number };
  /** A tensor that one model alone has is copied; with other methods, that follows from the formula or fails. */
  readonly lone?: 'copy';
  /** A checkpoint of statistics that every model brings along. */
  readonly statistics?: StatisticsSpec;
  /** How results or errors differ from mergekit 0.1.4's. Empty for methods it does not have. */
  readonly differences: readonly string[];
  /** The method whose arithmetic this is after `derive`; its own name where absent. */
  readonly kernel?: string;
  /**
   * The kernel's numbers from the configured ones. `depth` is 0 for what precedes the layers, 1 for what
   * follows them and k / (L - 1) for layer k of L.
   */
  readonly derive?: (values: TensorValues, depth: number) => TensorValues;
  readonly check?: (values: TensorValues) => Finding | undefined;
}

/** Tensors that go with a model's own: Fisher information, Gram matrices. */
export interface StatisticsSpec {
  /** Key beside `model` whose value is the checkpoint. */
  readonly key: 'fisher' | 'gram';
  readonly doc: string;
  /** Tensors that have none: an error, or averaged with their weights. */
  readonly missing: 'error' | 'mean';
  /** The shape that belongs to a tensor of `shape`; undefined if such a tensor has none. */
  readonly shape: (shape: readonly number[]) => readonly number[] | undefined;
}

/** Sum of one parameter over the inputs, in their order. */
export function total(inputs: readonly ParameterValues[], name: string): number {
  return inputs.reduce((sum, values) => sum + values[name]!, 0);
}
