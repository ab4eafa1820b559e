import { describe, expect, test } from 'vitest';
import { NetworkModel } from '../../../lib/eval/network.js';
import { relativeError, whole } from '../../support/networks.js';
import { randomModel } from '../../support/random-models.js';
import {
  add,
  attention,
  embed,
  linear,
  type Matrix,
  map,
  rmsNorm,
  rope,
  silu,
  type Weights,
} from '../../support/reference-network.js';

const [width, heads, kvHeads, headDim, inner, vocabulary, layers] = [12, 4, 2, 6, 20, 23, 2];
const base = {
  hidden_size: width,
  num_attention_heads: heads,
  num_key_value_heads: kvHeads,
  head_dim: headDim,
  num_hidden_layers: layers,
  rms_norm_eps: 1e-5,
  max_position_embeddings: 8,
  rope_theta: 100,
};

interface Variant {
  readonly name: string;
  readonly config: Record<string, unknown>;
  readonly biased?: boolean;
  readonly headNorm?: boolean;
  readonly tied?: boolean;
  /** Positions that layer `i` attends to. */
  readonly window?: (layer: number) => number;
  readonly frequencies?: (plain: number[]) => number[];
  readonly scale?: number;
}

const tokens = 11;
const plain = [0, 1, 2].map((c) => 100 ** (-c / 3));
const turnsOver = (f: number, length: number) => (length * f) / (2 * Math.PI);

const variants: Variant[] = [
  { name: 'Llama with grouped queries', config: { model_type: 'llama' } },
  {
    name: 'Qwen2 with biases and tied embeddings',
    config: { model_type: 'qwen2', tie_word_embeddings: true, sliding_window: 3, use_sliding_window: false },
    biased: true,
    tied: true,
  },
  { name: 'Qwen3 with normalised queries and keys', config: { model_type: 'qwen3' }, headNorm: true },
  {
    name: 'Mistral with a sliding window',
    config: { model_type: 'mistral', sliding_window: 4 },
    window: () => 4,
  },
  {
    name: 'Qwen2 with a window in the upper layers',
    config: { model_type: 'qwen2', use_sliding_window: true, sliding_window: 3, max_window_layers: 1 },
    biased: true,
    window: (layer) => (layer >= 1 ? 3 : tokens),
  },
  {
    name: 'layer types',
    config: {
      model_type: 'qwen3',
      use_sliding_window: true,
      sliding_window: 2,
      layer_types: ['sliding_attention', 'full_attention'],
    },
    headNorm: true,
    window: (layer) => (layer === 0 ? 2 : tokens),
  },
  {
    name: 'linear scaling of positions',
    config: { model_type: 'llama', rope_scaling: { type: 'linear', factor: 4 } },
    frequencies: (f) => f.map((v) => v / 4),
  },
  {
    name: 'dynamic scaling beyond the trained length',
    config: { model_type: 'llama', rope_parameters: { rope_type: 'dynamic', factor: 2, rope_theta: 100 } },
    frequencies: () => [0, 1, 2].map((c) => (100 * ((2 * 11) / 8 - 1) ** (6 / 4)) ** (-c / 3)),
  },
  {
    name: 'the scaling of Llama 3.1',
    config: {
      model_type: 'llama',
      rope_scaling: {
        rope_type: 'llama3',
        factor: 8,
        low_freq_factor: 1,
        high_freq_factor: 4,
        original_max_position_embeddings: 16,
      },
    },
    frequencies: (f) =>
      f.map((v) => {
        const wave = (2 * Math.PI) / v;
        if (wave < 16 / 4) return v;
        if (wave > 16 / 1) return v / 8;
        const smooth = (16 / wave - 1) / (4 - 1);
        return ((1 - smooth) * v) / 8 + smooth * v;
      }),
  },
  {
    name: 'YaRN',
    config: {
      model_type: 'llama',
      rope_scaling: {
        rope_type: 'yarn',
        factor: 4,
        original_max_position_embeddings: 64,
        beta_fast: 4,
        beta_slow: 1,
      },
    },
    // Pairs that turn 4 times over 64 positions stay, those below once are stretched.
    frequencies: (f) => {
      const pair = (turns: number) => (6 * Math.log(64 / (turns * 2 * Math.PI))) / (2 * Math.log(100));
      const [low, high] = [Math.max(Math.floor(pair(4)), 0), Math.min(Math.ceil(pair(1)), 5)];
      expect(turnsOver(f[low]!, 64)).toBeGreaterThan(4);
      return f.map((v, c) => {
        const ramp = Math.min(1, Math.max(0, (c - low) / (high - low)));
        return (v / 4) * ramp + v * (1 - ramp);
      });
    },
    scale: 0.1 * Math.log(4) + 1,
  },
];

function shapesOf({ biased, headNorm, tied }: Variant): Record<string, readonly number[]> {
  const shapes: Record<string, readonly number[]> = {
    'model.embed_tokens.weight': [vocabulary, width],
    'model.norm.weight': [width],
    ...(!tied && { 'lm_head.weight': [vocabulary, width] }),
  };
  for (let i = 0; i < layers; i++) {
    const [layer, self] = [`model.layers.${i}`, `model.layers.${i}.self_attn`];
    for (const [name, rows] of [
      ['q_proj', heads * headDim],
      ['k_proj', kvHeads * headDim],
      ['v_proj', kvHeads * headDim],
    ] as const) {
      shapes[`${self}.${name}.weight`] = [rows, width];
      if (biased) shapes[`${self}.${name}.bias`] = [rows];
    }
    shapes[`${self}.o_proj.weight`] = [width, heads * headDim];
    for (const name of ['gate_proj', 'up_proj']) shapes[`${layer}.mlp.${name}.weight`] = [inner, width];
    shapes[`${layer}.mlp.down_proj.weight`] = [width, inner];
    for (const name of ['input_layernorm', 'post_attention_layernorm']) {
      shapes[`${layer}.${name}.weight`] = [width];
    }
    if (headNorm) for (const name of ['q_norm', 'k_norm']) shapes[`${self}.${name}.weight`] = [headDim];
  }
  return shapes;
}

/** Logits of one sequence. */
function decode(weights: Weights, ids: number[], variant: Variant): Matrix {
  const { headNorm = false, tied = false, window = () => tokens, frequencies = (f) => f, scale } = variant;
  let x = embed(ids, weights, 'model.embed_tokens', width);
  for (let i = 0; i < layers; i++) {
    const [layer, self] = [`model.layers.${i}`, `model.layers.${i}.self_attn`];
    const normed = rmsNorm(x, weights, `${layer}.input_layernorm`, 1e-5);
    const turned = (name: string) => {
      const projected = linear(normed, weights, `${self}.${name}_proj`);
      const scaled = headNorm ? rmsNorm(projected, weights, `${self}.${name}_norm`, 1e-5) : projected;
      return rope(scaled, headDim, frequencies(plain), scale);
    };
    const v = linear(normed, weights, `${self}.v_proj`);
    const sees = (a: number, b: number) => b <= a && b > a - window(i);
    const attended = attention([turned('q'), turned('k'), v], headDim, sees);
    x = add(x, linear(attended, weights, `${self}.o_proj`));
    const hidden = rmsNorm(x, weights, `${layer}.post_attention_layernorm`, 1e-5);
    const gate = map(linear(hidden, weights, `${layer}.mlp.gate_proj`), silu);
    const up = linear(hidden, weights, `${layer}.mlp.up_proj`);
    const gated = gate.map((row, r) => row.map((g, j) => g * up[r]![j]!));
    x = add(x, linear(gated, weights, `${layer}.mlp.down_proj`));
  }
  return linear(rmsNorm(x, weights, 'model.norm', 1e-5), weights, tied ? 'model.embed_tokens' : 'lm_head');
}

describe('decoders, against f64', () => {
  test.each(variants)('$name', async (variant) => {
    const config = { ...base, ...variant.config };
    const { path, weights } = await randomModel({ config, shapes: shapesOf(variant) });
    await using network = await NetworkModel.open(path);
    const ids = [
      Array.from({ length: tokens }, (_, i) => (5 * i) % vocabulary),
      Array.from({ length: tokens }, (_, i) => (7 * i + 3) % vocabulary),
    ];
    const [result] = await network.forward(new Map([['input_ids', whole([2, tokens], ids.flat())]]), [0]);
    const expected = ids.map((row) => decode(weights, row, variant));
    const error = relativeError(result!.get('logits')!.data, expected.flat(2));
    expect(error).toBeLessThan(1e-5);

    const losses = expected.flatMap((logits, s) =>
      logits.slice(0, -1).map((row, i) => {
        const total = row.reduce((sum, z) => sum + Math.exp(z), 0);
        return Math.log(total) - row[ids[s]![i + 1]!]!;
      }),
    );
    const loss = losses.reduce((a, b) => a + b, 0) / losses.length;
    expect(result!.get('loss')!.data[0]).toBeCloseTo(loss, 4);
  });

  test('an unknown scaling of positions is refused by name', async () => {
    const config = { ...base, model_type: 'llama', rope_scaling: { rope_type: 'longrope' } };
    const { path } = await randomModel({ config, shapes: shapesOf({ name: '', config }) });
    await using network = await NetworkModel.open(path);
    const inputs = new Map([['input_ids', whole([1, 2], [1, 2])]]);
    await expect(network.forward(inputs, [0])).rejects.toThrow('rotary embedding of type "longrope"');
  });
});
