import { WisemergeError } from '../../errors.js';
import type { ConfigFields } from './config-fields.js';

/** Angles per position of rotary embedding, one per pair, and a factor of both parts. */
export interface RopeFrequencies {
  readonly frequencies: Float32Array;
  readonly scale: number;
}

const kinds = ['default', 'linear', 'dynamic', 'llama3', 'yarn'];

/**
 * The frequencies of a decoder's config.json (`rope_parameters`, or `rope_theta` with `rope_scaling`) for sequences of
 * `tokens`: base^(-2c / d) (Su et al., 2021), or one of its extensions to longer contexts. Throws ERR_CONFIG.
 */
export function ropeFrequencies(fields: ConfigFields, headDim: number, tokens: number): RopeFrequencies {
  const rope = ropeFields(fields);
  const base = rope.has('rope_theta') ? rope.number('rope_theta') : fields.number('rope_theta', 10000);
  const share = rope.has('partial_rotary_factor')
    ? rope.number('partial_rotary_factor')
    : fields.number('partial_rotary_factor', 1);
  const dim = 2 * Math.floor((headDim * share) / 2);
  const kind = kindOf(rope);
  const plain = powers(base, dim);
  const of = (frequencies: number[], scale = 1) => ({ frequencies: Float32Array.from(frequencies), scale });
  switch (kind) {
    case 'default':
      return of(plain);
    case 'linear': {
      const factor = rope.number('factor');
      return of(plain.map((f) => f / factor));
    }
    case 'dynamic':
      return of(powers(dynamicBase(base, dim, rope.number('factor'), fields, tokens), dim));
    case 'llama3':
      return of(llama3(plain, rope));
    case 'yarn':
      return of(yarn(plain, base, dim, rope, fields), yarnScale(rope));
    default:
      throw new WisemergeError('ERR_CONFIG', `config.json asks for rotary embedding of type "${kind}"`, {
        hint: `Supported: ${kinds.join(', ')}.`,
      });
  }
}

/** Whether the length of the sequences, padding included, changes the angles. */
export function ropeDependsOnLength(fields: ConfigFields): boolean {
  return kindOf(ropeFields(fields)) === 'dynamic';
}

function ropeFields(fields: ConfigFields): ConfigFields {
  return fields.has('rope_parameters') ? fields.part('rope_parameters') : fields.part('rope_scaling');
}

function kindOf(rope: ConfigFields): string {
  return rope.text('rope_type', rope.text('type', 'default'));
}

function powers(base: number, dim: number): number[] {
  return Array.from({ length: dim / 2 }, (_, c) => base ** ((-2 * c) / dim));
}

/** NTK-aware scaling that sets in beyond the trained length. */
function dynamicBase(
  base: number,
  dim: number,
  factor: number,
  fields: ConfigFields,
  tokens: number,
): number {
  const trained = fields.count('max_position_embeddings', 2048);
  const length = Math.max(tokens, trained);
  return base * ((factor * length) / trained - (factor - 1)) ** (dim / (dim - 2));
}

/** Long waves stretched, short ones kept, those between blended (Llama 3.1). */
function llama3(plain: readonly number[], rope: ConfigFields): number[] {
  const factor = rope.number('factor');
  const [low, high] = [rope.number('low_freq_factor'), rope.number('high_freq_factor')];
  const trained = rope.count('original_max_position_embeddings');
  return plain.map((f) => {
    const turns = (trained * f) / (2 * Math.PI);
    if (turns < low) return f / factor;
    if (turns > high) return f;
    const kept = (turns - low) / (high - low);
    return (1 - kept) * (f / factor) + kept * f;
  });
}

/** YaRN (Peng et al., 2023), section 3.2. */
function yarn(
  plain: readonly number[],
  base: number,
  dim: number,
  rope: ConfigFields,
  fields: ConfigFields,
): number[] {
  const factor = rope.number('factor');
  const trained = rope.has('original_max_position_embeddings')
    ? rope.count('original_max_position_embeddings')
    : fields.count('max_position_embeddings', 2048);
  // The pair that turns this often over the trained length.
  const pairOf = (turns: number) => (dim * Math.log(trained / (turns * 2 * Math.PI))) / (2 * Math.log(base));
  const round = rope.flag('truncate', true);
  const [first, last] = [pairOf(rope.number('beta_fast', 32)), pairOf(rope.number('beta_slow', 1))];
  const low = Math.max(round ? Math.floor(first) : first, 0);
  const high = Math.min(round ? Math.ceil(last) : last, dim - 1);
  const width = high === low ? 0.001 : high - low;
  return plain.map((f, c) => {
    const stretched = Math.min(1, Math.max(0, (c - low) / width));
    return (f / factor) * stretched + f * (1 - stretched);
  });
}

function yarnScale(rope: ConfigFields): number {
  if (rope.has('attention_factor')) return rope.number('attention_factor');
  const factor = rope.number('factor');
  const of = (m: number) => (factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1);
  if (rope.has('mscale') && rope.has('mscale_all_dim')) {
    const [m, all] = [rope.number('mscale'), rope.number('mscale_all_dim')];
    if (m !== 0 && all !== 0) return of(m) / of(all);
  }
  return of(1);
}
