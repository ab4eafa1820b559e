import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type TensorData, writeSafetensors } from '../../checkpoint/write-safetensors.js';
import { diff } from '../../merge/diff.js';
import { merge } from '../../merge/merge.js';
import { formatNumber, formatPercent, formatTable } from '../format.js';
import { note, type OutputFlags, printResult } from '../terminal.js';

export interface DemoFlags extends OutputFlags {
  readonly out: string;
}

const alphas = [0, 0.25, 0.5, 0.75, 1];
const [vocabulary, hidden, inner, layers] = [512, 128, 384, 4];

/**
 * Writes two small bf16 models in the Hugging Face layout, the second "fine-tuned" from the first in all but
 * its embedding, merges them at several alphas in one pass, and measures each result against both ends.
 */
export async function runDemo(flags: DemoFlags, signal: AbortSignal): Promise<void> {
  const root = resolve(flags.out);
  const [zeroshot, finetuned, merged] = ['zeroshot', 'finetuned', 'merged'].map((name) =>
    join(root, name),
  ) as [string, string, string];
  const random = gaussian(2021);
  const base = makeWeights(random);
  await writeModel(zeroshot, base);
  await writeModel(finetuned, finetune(base, random));
  note(flags, `wrote two models to ${root}`);

  const { outputs, seconds } = await merge({
    zeroshot,
    finetuned,
    alpha: alphas,
    out: merged,
    force: true,
    signal,
  });
  const rows: DemoRow[] = [];
  for (const { alpha, directory } of outputs) {
    const fromZeroshot = await diff(zeroshot, directory, { signal });
    const fromFinetuned = await diff(finetuned, directory, { signal });
    rows.push({
      alpha,
      directory,
      fromZeroshot: fromZeroshot.total.relativeL2,
      fromFinetuned: fromFinetuned.total.relativeL2,
      cosineToZeroshot: fromZeroshot.total.cosine,
      sameAsZeroshot: fromZeroshot.total.unchanged,
      sameAsFinetuned: fromFinetuned.total.unchanged,
    });
  }
  printResult(flags, { zeroshot, finetuned, seconds, outputs: rows }, () =>
    formatTable(
      ['alpha', 'distance to zero-shot', 'to fine-tuned', 'same bits as zero-shot', 'as fine-tuned'],
      rows.map((row) => [
        row.alpha.toFixed(2),
        formatNumber(row.fromZeroshot),
        formatNumber(row.fromFinetuned),
        formatPercent(row.sameAsZeroshot),
        formatPercent(row.sameAsFinetuned),
      ]),
    ),
  );
  note(flags, `merged ${alphas.length} models in one pass, ${seconds.toFixed(2)} s; they are in ${merged}`);
  note(flags, 'distances are ‖θ − θα‖/‖θ‖. Look further: wisemerge inspect, diff and verify.');
}

/** One merged model against both ends. */
interface DemoRow {
  readonly alpha: number;
  readonly directory: string;
  readonly fromZeroshot: number | null;
  readonly fromFinetuned: number | null;
  readonly cosineToZeroshot: number | null;
  readonly sameAsZeroshot: number;
  readonly sameAsFinetuned: number;
}

interface Weight {
  name: string;
  shape: number[];
  values: Float32Array;
}

function makeWeights(random: () => number): Weight[] {
  const weights: Weight[] = [];
  const add = (name: string, shape: number[], value: () => number): void => {
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, value);
    weights.push({ name, shape, values });
  };
  const matrix = (name: string, rows: number, columns: number): void =>
    add(name, [rows, columns], () => random() / Math.sqrt(columns));
  matrix('model.embed_tokens.weight', vocabulary, hidden);
  for (let layer = 0; layer < layers; layer++) {
    const prefix = `model.layers.${layer}.`;
    add(`${prefix}input_layernorm.weight`, [hidden], () => 1);
    for (const name of ['q', 'k', 'v', 'o']) matrix(`${prefix}self_attn.${name}_proj.weight`, hidden, hidden);
    add(`${prefix}post_attention_layernorm.weight`, [hidden], () => 1);
    matrix(`${prefix}mlp.gate_proj.weight`, inner, hidden);
    matrix(`${prefix}mlp.up_proj.weight`, inner, hidden);
    matrix(`${prefix}mlp.down_proj.weight`, hidden, inner);
  }
  add('model.norm.weight', [hidden], () => 1);
  return weights;
}

/**
 * A step away from the base in every tensor but the embedding, as fine-tuning with a frozen embedding makes.
 */
function finetune(base: readonly Weight[], random: () => number): Weight[] {
  return base.map(({ name, shape, values }) => ({
    name,
    shape,
    values: name.includes('embed')
      ? values
      : values.map((value) => value + (0.1 * random()) / Math.sqrt(hidden)),
  }));
}

async function writeModel(directory: string, weights: readonly Weight[]): Promise<void> {
  await mkdir(directory, { recursive: true });
  const path = join(directory, 'model.safetensors');
  await rm(path, { force: true });
  const tensors = weights.map(
    ({ name, shape, values }): TensorData => ({ name, shape, dtype: 'BF16', data: toBf16(values) }),
  );
  await writeSafetensors(path, tensors, { format: 'pt' });
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    dtype: 'bfloat16',
    vocab_size: vocabulary,
    hidden_size: hidden,
    intermediate_size: inner,
    num_hidden_layers: layers,
    num_attention_heads: 4,
    num_key_value_heads: 4,
    tie_word_embeddings: true,
  };
  await writeFile(join(directory, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
}

/** Upper halves of the f32 bits: any bf16 value will do here. */
function toBf16(values: Float32Array): Uint8Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return new Uint8Array(Uint16Array.from(bits, (word) => word >>> 16).buffer);
}

/**
 * Standard normal numbers by Box and Muller from a 32-bit linear congruential generator: enough for a demo.
 */
function gaussian(seed: number): () => number {
  let state = seed >>> 0;
  const uniform = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}
