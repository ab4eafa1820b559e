import type { Config } from '../../checkpoint/checkpoint.js';
import type { ProgramBuilder } from './builder.js';
import type { NetworkInputs } from './inputs.js';
import type { WeightTable } from './weight-table.js';

/** An array per candidate. */
export interface NetworkOutput {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Inputs of a part, checked and in the form that a program takes. */
export interface BoundPart {
  /** Samples. They may be cut into batches of any size, unless the part is `whole`. */
  readonly batch: number;
  /** What a sample costs: the rows of its widest matrices. */
  readonly tokens: number;
  readonly whole?: boolean;
  /** By the name of the program's input: numbers of all samples, one behind the other. */
  readonly arrays: ReadonlyMap<string, Float32Array | Int32Array>;
  /** By the name of the program's input: an earlier output, one array per candidate. */
  readonly earlier?: readonly string[];
  /** Writes the program for `batch` samples. */
  build(builder: ProgramBuilder, batch: number): void;
}

/** A network that runs on its own: the towers of CLIP are two parts. */
export interface NetworkPart {
  /** Names of inputs, or of outputs of parts before, without which the part does not run. */
  readonly needs: readonly string[];
  /** Names of inputs that it reads if they are there. */
  readonly reads?: readonly string[];
  /** Throws ERR_DATA_MISMATCH, ERR_DTYPE_MISMATCH. */
  bind(
    inputs: NetworkInputs,
    outputs: ReadonlyMap<string, NetworkOutput>,
    wanted: (output: string) => boolean,
  ): BoundPart;
}

/** What config.json and the names of the tensors say about a network. */
export interface Architecture {
  /** For messages: `vit`, `clip`, … */
  readonly name: string;
  readonly parts: readonly NetworkPart[];
  /** Tokens of a text that the model was made for. */
  readonly longest?: number;
  /**
   * Of a decoder: the part that gives `token_losses` [N, T], at each position -log p(the label behind it), in nats,
   * 0 where that label is negative. No logits are kept where these are not wanted.
   */
  readonly losses?: NetworkPart;
  /** Names of outputs that are given only where they are asked for: those of inner layers. */
  readonly inner?: ReadonlySet<string>;
  /** The results of a sequence depend on the padding behind it. */
  readonly paddingCounts?: boolean;
  /** Turns what a candidate gave into what it is asked for: the mean of losses. */
  finish?(outputs: Map<string, NetworkOutput>, inputs: NetworkInputs): void;
}

/** Throws ERR_CONFIG and what {@link WeightTable} throws. */
export type ArchitectureFactory = (config: Config, weights: WeightTable) => Architecture;
