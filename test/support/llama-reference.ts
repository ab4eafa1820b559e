// The llama-tiny fixtures as a network in f64, for oracles of what its inner layers hold.
import { bf16ToNumber } from '../../lib/checkpoint/half.js';
import { readModel } from './models.js';
import { add, attention, embed, linear, type Matrix, map, rmsNorm, rope, silu } from './reference-network.js';

const [width, headDim, layers, epsilon] = [64, 16, 4, 1e-6];

/** Weights of a bf16 (or f32) model directory. */
export function fixtureWeights(directory: string): Map<string, Float32Array> {
  return new Map(
    [...readModel(directory)].map(([name, { dtype, data }]) => [
      name,
      dtype === 'BF16'
        ? Float32Array.from({ length: data.length / 2 }, (_, i) => bf16ToNumber(data.readUInt16LE(2 * i)))
        : Float32Array.from({ length: data.length / 4 }, (_, i) => data.readFloatLE(4 * i)),
    ]),
  );
}

/** What each layer begins with, [layer][token][width]. */
export function hiddenStates(directory: string, ids: readonly number[]): Matrix[] {
  const w = fixtureWeights(directory);
  const frequencies = Array.from({ length: headDim / 2 }, (_, c) => 10000 ** ((-2 * c) / headDim));
  const states: Matrix[] = [];
  let x = embed(ids, w, 'model.embed_tokens', width);
  for (let i = 0; i < layers; i++) {
    states.push(x);
    const at = `model.layers.${i}`;
    const normed = rmsNorm(x, w, `${at}.input_layernorm`, epsilon);
    const project = (name: string) => linear(normed, w, `${at}.self_attn.${name}_proj`);
    const [q, k] = [rope(project('q'), headDim, frequencies), rope(project('k'), headDim, frequencies)];
    const seen = attention([q, k, project('v')], headDim, (a, b) => b <= a);
    const attended = add(linear(seen, w, `${at}.self_attn.o_proj`), x);
    const inner = rmsNorm(attended, w, `${at}.post_attention_layernorm`, epsilon);
    const [gate, up] = [linear(inner, w, `${at}.mlp.gate_proj`), linear(inner, w, `${at}.mlp.up_proj`)];
    const product = map(gate, silu).map((row, r) => row.map((v, j) => v * up[r]![j]!));
    x = add(linear(product, w, `${at}.mlp.down_proj`), attended);
  }
  return states;
}
