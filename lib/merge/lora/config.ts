import { join } from 'node:path';
import { type Config, readConfig } from '../../checkpoint/checkpoint.js';
import { WisemergeError } from '../../errors.js';
import { NamePatterns } from './name-patterns.js';

/** The parts of a PEFT `adapter_config.json` that decide what a LoRA adapter adds. */
export interface LoraConfig {
  readonly file: string;
  /** Of weights stored [in, out], as GPT-2's Conv1D. */
  readonly fanInFanOut: boolean;
  /** Whether biases in the adapter replace those of the base. */
  readonly bias: boolean;
  /** `modules_to_save`: these are in the adapter as a whole. */
  readonly savedModules: readonly string[];
  /** Rank and scale, alpha / r or (rsLoRA) alpha / √r, of a module by its name in the base model. */
  module(name: string): { readonly rank: number; readonly scale: number };
}

/** Options whose effect is not W + scale · B · A over the base model's own weights. */
const unsupported: Record<string, string> = {
  use_dora: 'DoRA scales the columns of the merged weight',
  use_qalora: 'QA-LoRA pools the input of its matrices',
  lora_bias: 'lora_bias adds biases of the low-rank branch',
  layer_replication: 'layer_replication changes the number of layers',
  alora_invocation_tokens: 'an activated LoRA applies to some tokens only',
  target_parameters: 'target_parameters adapts parameters that are not matrices',
  trainable_token_indices: 'trainable_token_indices replaces single rows of an embedding',
  arrow_config: 'Arrow routes between several adapters',
};
/** Initialisations that change the base model's weights when the adapter is made. */
const changesBase = /^(pissa|olora|corda|loftq)/i;

/**
 * Reads `adapter_config.json`. Throws ERR_ADAPTER for other kinds of adapter than LoRA, for options that are not a
 * product added to a weight, and for numbers out of range; ERR_CONFIG, ERR_IO.
 */
export async function readLoraConfig(directory: string): Promise<LoraConfig> {
  const file = join(directory, 'adapter_config.json');
  const config = await readConfig(directory, 'adapter_config.json');
  const fail = (message: string, hint: string): never => {
    throw new WisemergeError('ERR_ADAPTER', `${file}: ${message}`, { file, hint });
  };
  if (!config) return fail('there is no such file', 'Give the directory of a PEFT adapter.');
  if (config.peft_type !== 'LORA') {
    const found = JSON.stringify(config.peft_type ?? null);
    return fail(`peft_type is ${found}; only "LORA" is read`, 'Merge it into its base with PEFT first.');
  }
  for (const [option, why] of Object.entries(unsupported)) {
    if (isSet(config[option])) {
      fail(`${option} is set: ${why}`, 'Merge the adapter into its base with PEFT (merge_and_unload) first.');
    }
  }
  const start = config.init_lora_weights;
  if (typeof start === 'string' && changesBase.test(start)) {
    fail(
      `init_lora_weights is "${start}", which changed the base model's own weights`,
      'Save the adapter with path_initial_model_for_weight_conversion, or merge it with PEFT first.',
    );
  }
  const bias = config.bias ?? 'none';
  if (bias !== 'none' && bias !== 'all' && bias !== 'lora_only') {
    fail(`bias is ${JSON.stringify(bias)}; known are none, all and lora_only`, 'Correct the file.');
  }
  const positive = (value: unknown, name: string, whole: boolean): number => {
    if (
      typeof value === 'number' &&
      Number.isFinite(value) &&
      (whole ? value >= 1 && Number.isInteger(value) : true)
    )
      return value;
    return fail(
      `${name} is ${JSON.stringify(value)}, not a ${whole ? 'whole number from 1' : 'number'}`,
      'Correct the file.',
    );
  };
  const rank = positive(config.r, 'r', true);
  const alpha = positive(config.lora_alpha, 'lora_alpha', false);
  const ranks = patterns(config, 'rank_pattern', (value, name) => positive(value, name, true), fail);
  const alphas = patterns(config, 'alpha_pattern', (value, name) => positive(value, name, false), fail);
  return {
    file,
    fanInFanOut: config.fan_in_fan_out === true,
    bias: bias !== 'none',
    savedModules: Array.isArray(config.modules_to_save) ? config.modules_to_save.map(String) : [],
    module(name) {
      const r = ranks(name) ?? rank;
      return { rank: r, scale: (alphas(name) ?? alpha) / (config.use_rslora === true ? Math.sqrt(r) : r) };
    },
  };
}

function isSet(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return false;
  return typeof value !== 'object' || Object.keys(value).length > 0;
}

/** PEFT's rule: the first key that, as a regular expression, matches the name from its start or after a dot. */
function patterns(
  config: Config,
  option: string,
  check: (value: unknown, name: string) => number,
  fail: (message: string, hint: string) => never,
): (module: string) => number | undefined {
  const given = config[option] ?? {};
  if (typeof given !== 'object' || Array.isArray(given))
    return fail(`${option} is not an object`, 'Correct the file.');
  const entries = Object.entries(given);
  const numbers = entries.map(([key, value]) => check(value, `${option} ${JSON.stringify(key)}`));
  let keys: NamePatterns;
  try {
    keys = new NamePatterns(entries.map(([key]) => key));
  } catch (error) {
    return fail(`${option}: ${(error as Error).message}`, 'Correct the file.');
  }
  return (module) => {
    const place = keys.first(module);
    return place === undefined ? undefined : numbers[place];
  };
}
