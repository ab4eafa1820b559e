import type { Config } from '../checkpoint/checkpoint.js';
import { partOf, textPart } from './config/layer-counts.js';

/** A key of config.json that two models state differently. */
export interface ConfigDifference {
  readonly key: string;
  readonly values: readonly [unknown, unknown];
  /** Whether equal shapes then hold different things: rows of a projection belong to other heads. */
  readonly incompatible: boolean;
}

const headKeys = [
  'num_attention_heads',
  'num_key_value_heads',
  'head_dim',
  'n_head',
  'n_heads',
  'num_heads',
  'encoder_attention_heads',
  'decoder_attention_heads',
];
const behaviourKeys = ['model_type', 'rope_theta', 'hidden_act', 'hidden_activation', 'activation_function'];

/** What no shape shows of two models whose weights are about to be mixed: numbers of heads, activations, rotary frequencies. */
export function configDifferences(a: Config | undefined, b: Config | undefined): ConfigDifference[] {
  const [one, other] = [partOf(a, textPart(a)), partOf(b, textPart(b))];
  return [...headKeys, ...behaviourKeys].flatMap((key) => {
    const root = key === 'model_type';
    const values = [value(root ? a : one, key), value(root ? b : other, key)] as const;
    if (values.includes(undefined) || values[0] === values[1]) return [];
    return [{ key, values, incompatible: headKeys.includes(key) }];
  });
}

/** `rope_theta` stands in a part of its own since transformers 5. */
function value(config: Config | undefined, key: string): string | number | undefined {
  const own = config?.[key] ?? partOf(config, 'rope_parameters.')?.[key];
  return typeof own === 'string' || typeof own === 'number' ? own : undefined;
}

/** `num_attention_heads 2 and 4`. */
export function describeDifference({ key, values: [a, b] }: ConfigDifference): string {
  return `${key} ${JSON.stringify(a)} and ${JSON.stringify(b)}`;
}
