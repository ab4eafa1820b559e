// Three Llamas to make a mixture of: a base with a tokenizer, and two experts with prompts.
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { assembleMoe } from '../../lib/moe/assemble.js';
import type { MoeOptions } from '../../lib/moe/options.js';
import { readModel } from './models.js';
import { fixture } from './networks.js';
import { tempDir } from './temp.js';
import { llamaTokenizer } from './tokenizers.js';

/** Of llama-tiny. */
export const [moeLayers, moeHidden] = [4, 64];

export const moePrompts = {
  a: ['the cat is on the roof.', 'a man'],
  b: ['rain in the north'],
  not: ['sand', 'no sand'],
};

interface Choices {
  /** Further lines of the file. */
  readonly extra?: string;
  /** Further lines of an expert. */
  readonly lines?: Readonly<Record<string, string>>;
  readonly prompts?: Readonly<Record<'a' | 'b', readonly string[]>>;
  readonly tokenizer?: object;
  /** `tokenizer_config.json`, if there is to be one. */
  readonly tokenizerConfig?: object;
}

export async function moeProject(mode: string, choices: Choices = {}) {
  const { extra = '', lines = {}, prompts = moePrompts, tokenizer = llamaTokenizer() } = choices;
  const root = await tempDir();
  for (const name of ['base', 'a', 'b'])
    cpSync(fixture(`llama-tiny/${name}`), join(root, name), { recursive: true });
  const base = join(root, 'base');
  writeFileSync(join(base, 'tokenizer.json'), JSON.stringify(tokenizer));
  if (choices.tokenizerConfig) {
    writeFileSync(join(base, 'tokenizer_config.json'), JSON.stringify(choices.tokenizerConfig));
  }
  const expert = (name: 'a' | 'b') =>
    `  - source_model: ${join(root, name)}\n    positive_prompts: ${JSON.stringify(prompts[name])}\n${lines[name] ?? ''}`;
  const write = (order: readonly ('a' | 'b')[], file = 'moe.yml') => {
    const path = join(root, file);
    const head = `base_model: ${base}\ngate_mode: ${mode}\n${extra}experts:\n`;
    writeFileSync(path, head + order.map(expert).join(''));
    return path;
  };
  const run = async (options: Partial<MoeOptions> = {}, order: readonly ('a' | 'b')[] = ['a', 'b']) => {
    const out = options.out ?? join(root, 'out');
    const result = await assembleMoe({ config: write(order), force: true, ...options, out });
    return { ...result, out, tensors: readModel(out) };
  };
  return { root, write, run, base };
}

export const router = (layer: number): string => `model.layers.${layer}.block_sparse_moe.gate.weight`;

/** Of a tensor in F32. */
export const floats = (data: Buffer): number[] =>
  Array.from({ length: data.length / 4 }, (_, i) => data.readFloatLE(4 * i));
