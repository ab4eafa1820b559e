// Makes three synthetic Llama-shaped bf16 checkpoints for benchmarks:
//
//   node bench/make-checkpoints.mjs DIR [--layers N] [--shards N]
//
// writes DIR/zeroshot, DIR/finetuned and DIR/other. 22 layers (the default) give 1.1 B parameters, 2.2 GB each, in
// one file. Values are random normal-range bf16; the others change low mantissa bits of the first, each its own.
import { once } from 'node:events';
import { createWriteStream, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const [hidden, inner, vocabulary, keyValue] = [2048, 5632, 32000, 256];
const blockWords = 2 ** 20;

export async function makeCheckpoints(directory, { layers = 22, shards = 1 } = {}) {
  for (const [name, seed] of [
    ['zeroshot', 1],
    ['finetuned', 2],
    ['other', 3],
  ]) {
    await writeModel(join(directory, name), tensors(layers), shards, seed, layers);
  }
}

function tensors(layers) {
  const list = [
    ['lm_head.weight', [vocabulary, hidden]],
    ['model.embed_tokens.weight', [vocabulary, hidden]],
  ];
  for (let layer = 0; layer < layers; layer++) {
    const prefix = `model.layers.${layer}`;
    list.push(
      [`${prefix}.input_layernorm.weight`, [hidden]],
      [`${prefix}.mlp.down_proj.weight`, [hidden, inner]],
      [`${prefix}.mlp.gate_proj.weight`, [inner, hidden]],
      [`${prefix}.mlp.up_proj.weight`, [inner, hidden]],
      [`${prefix}.post_attention_layernorm.weight`, [hidden]],
      [`${prefix}.self_attn.k_proj.weight`, [keyValue, hidden]],
      [`${prefix}.self_attn.o_proj.weight`, [hidden, hidden]],
      [`${prefix}.self_attn.q_proj.weight`, [hidden, hidden]],
      [`${prefix}.self_attn.v_proj.weight`, [keyValue, hidden]],
    );
  }
  list.push(['model.norm.weight', [hidden]]);
  return list.map(([name, shape]) => ({ name, shape, bytes: 2 * shape.reduce((a, b) => a * b) }));
}

async function writeModel(directory, list, shards, seed, layers) {
  mkdirSync(directory, { recursive: true });
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    dtype: 'bfloat16',
    num_hidden_layers: layers,
    hidden_size: hidden,
  };
  writeFileSync(join(directory, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
  const total = list.reduce((sum, { bytes }) => sum + bytes, 0);
  const groups = Array.from({ length: shards }, () => []);
  let before = 0;
  for (const tensor of list) {
    groups[Math.min(shards - 1, Math.floor((before / total) * shards))].push(tensor);
    before += tensor.bytes;
  }
  const weightMap = {};
  for (const [i, group] of groups.entries()) {
    const pad = (n) => String(n).padStart(5, '0');
    const name = shards === 1 ? 'model.safetensors' : `model-${pad(i + 1)}-of-${pad(shards)}.safetensors`;
    for (const tensor of group) weightMap[tensor.name] = name;
    await writeFile(join(directory, name), group, seed);
  }
  if (shards > 1) {
    const index = { metadata: { total_size: total }, weight_map: weightMap };
    writeFileSync(join(directory, 'model.safetensors.index.json'), `${JSON.stringify(index, null, 2)}\n`);
  }
}

async function writeFile(path, group, seed) {
  const header = { __metadata__: { format: 'pt' } };
  let end = 0;
  for (const { name, shape, bytes } of group) {
    header[name] = { dtype: 'BF16', shape, data_offsets: [end, end + bytes] };
    end += bytes;
  }
  const json = Buffer.from(JSON.stringify(header));
  const padded = Buffer.alloc(Math.ceil(json.length / 8) * 8, ' ');
  json.copy(padded);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const stream = createWriteStream(path, { highWaterMark: 16 * 2 ** 20 });
  stream.write(length);
  stream.write(padded);
  for (let done = 0, block = 0; done < end; done += 4 * blockWords, block++) {
    const bytes = Math.min(4 * blockWords, end - done);
    if (!stream.write(randomBlock(block, seed).subarray(0, bytes))) await once(stream, 'drain');
  }
  stream.end();
  await once(stream, 'finish');
}

// Two bf16 per word: sign, exponent 2^-7..2^-4 and mantissa from the generator; the second model flips low bits.
function randomBlock(block, seed) {
  const words = new Uint32Array(blockWords);
  let state = (block * 2654435761 + 12345) >>> 0 || 1;
  for (let i = 0; i < blockWords; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const word = (state & 0x81ff81ff) | 0x3c003c00;
    words[i] = seed === 1 ? word : word ^ ((state >>> (5 + seed)) & 0x00070007);
  }
  return new Uint8Array(words.buffer);
}

if (import.meta.filename === process.argv[1]) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { layers: { type: 'string', default: '22' }, shards: { type: 'string', default: '1' } },
  });
  if (positionals.length !== 1) {
    console.error('usage: node bench/make-checkpoints.mjs DIR [--layers N] [--shards N]');
    process.exit(2);
  }
  await makeCheckpoints(positionals[0], { layers: Number(values.layers), shards: Number(values.shards) });
}
