import type { ModelReference } from '../merge/config/model-reference.js';
import type { Place } from '../merge/config/problems.js';
import type { DTypeName } from '../native.js';

/** Where the weights of the routers come from. */
export const gateModes = [
  'hidden',
  /** Another name of it. */
  'hidden_last',
  'hidden_avg',
  'cheap_embed',
  'random',
  'uniform_random',
] as const;
export type GateMode = (typeof gateModes)[number];

/** Whether routers are made of prompts, and so of the base model. */
export function isPrompted(mode: GateMode): boolean {
  return mode !== 'random' && mode !== 'uniform_random';
}

/** Output architectures, as files name them. */
export const architectureNames = ['mixtral', 'qwen', 'qwen3'] as const;
export type ArchitectureName = (typeof architectureNames)[number];

export interface ExpertConfig {
  readonly place: Place;
  readonly model: ModelReference;
  readonly positive: readonly string[];
  readonly negative: readonly string[];
  /** Standard deviation of normal noise that is added to every weight. */
  readonly noise: number;
  /** What the expert's output is multiplied by: its down projection. */
  readonly scale: number;
}

/** A file that describes a mixture of experts, as it is written. */
export interface MoeConfig {
  readonly file: string;
  readonly place: Place;
  /** Gives everything but the experts' own weights. */
  readonly base: ModelReference;
  readonly basePlace: Place;
  readonly experts: readonly ExpertConfig[];
  /** Experts that every token goes through. */
  readonly shared: readonly ExpertConfig[];
  readonly gateMode: GateMode;
  readonly dtype?: DTypeName;
  readonly expertsPerToken: number;
  readonly architecture?: ArchitectureName;
  readonly architecturePlace?: Place;
  readonly warnings: readonly string[];
}
