import type { DTypeName } from '../../native.js';
import type { ModelReference } from './model-reference.js';
import type { ParameterTable } from './parameter-value.js';
import type { Place } from './problems.js';
import type { TokenizerConfig } from './tokenizer.js';

/** One merge configuration, checked as far as that goes without its models. */
export interface MergeConfig {
  /** The file, for messages. */
  readonly file: string;
  /** What the file says, in all of its documents. */
  readonly text: string;
  readonly place: Place;
  /** By which other documents of the file refer to its result. */
  readonly name?: string;
  readonly method: string;
  readonly methodPlace: Place;
  readonly base?: ModelReference;
  /** One without a name for `models` and `slices` at top level. */
  readonly modules: readonly ModuleConfig[];
  readonly parameters: ParameterTable;
  readonly dtype?: DTypeName;
  readonly outDtype?: DTypeName;
  readonly tokenizer?: TokenizerConfig;
  /** `auto`, the name of a known template, or a Jinja template. */
  readonly chatTemplate?: string;
  /** With their places. */
  readonly warnings: readonly string[];
}

export interface ModuleConfig {
  readonly name?: string;
  readonly place: Place;
  /** A `models` list is one slice without layer ranges. */
  readonly slices: readonly SliceConfig[];
  readonly parameters: ParameterTable;
}

export interface SliceConfig {
  readonly place: Place;
  readonly sources: readonly SourceConfig[];
  readonly base?: ModelReference;
  readonly parameters: ParameterTable;
}

export interface SourceConfig {
  readonly place: Place;
  readonly model: ModelReference;
  /** First layer and the one after the last; absent in a `models` list. */
  readonly layers?: readonly [number, number];
  /** Checkpoint of statistics, for methods that have such. */
  readonly statistics?: ModelReference;
  readonly parameters: ParameterTable;
}
