import type { Config } from '../../checkpoint/checkpoint.js';
import type {
  Architecture,
  ArchitectureFactory,
  BoundPart,
  NetworkOutput,
  NetworkPart,
} from './architecture.js';
import type { AttentionShape, ProgramBuilder, Rows } from './builder.js';
import { ConfigFields } from './config-fields.js';
import { bindTokens, checkShape, type NetworkInputs, wholeOf } from './inputs.js';
import { ropeDependsOnLength, ropeFrequencies } from './rope-frequencies.js';
import type { WeightTable } from './weight-table.js';

/** What the decoders of the family have in common. */
interface Decoder {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly epsilon: number;
  readonly activation: 'silu' | 'gelu' | 'geluTanh' | 'relu' | 'quickGelu' | 'tanh';
}

const table = 'model.embed_tokens.weight';

/**
 * Decoders of the Llama family in transformers: Llama, Mistral, Qwen2, Qwen2.5, Qwen3. Pre-normalisation by RMSNorm,
 * rotary embedding, grouped-query attention, gated MLP; biases of projections and normalisation of queries and keys
 * where the checkpoint has them; an output head, or the embeddings in its place.
 *
 * `hidden_states.0` [N, T, width] is what the first layer begins with, and so on; only where they are asked for.
 *
 * `input_ids` (and `attention_mask`, `labels`) give `logits` [N, T, vocabulary] and `loss` [1]: the mean over all
 * tokens of -log p(token | those before), in nats. Labels default to the input's own tokens; negative labels, and
 * tokens whose mask is 0, do not count.
 */
export const llama: ArchitectureFactory = (config, weights): Architecture => {
  const fields = new ConfigFields(config);
  const heads = fields.count('num_attention_heads');
  const width = fields.count('hidden_size');
  const decoder: Decoder = {
    heads,
    kvHeads: fields.count('num_key_value_heads', heads),
    headDim: fields.count('head_dim', width / heads),
    epsilon: fields.number('rms_norm_eps', 1e-6),
    activation: fields.activation('hidden_act', 'silu'),
  };
  const layers = fields.count('num_hidden_layers');
  const window = slidingWindows(config, fields, layers);
  const vocabulary = weights.info(table).shape[0]!;
  const head = outputHead(fields, weights);
  const part: NetworkPart = {
    needs: ['input_ids'],
    reads: ['attention_mask', 'labels'],
    bind(inputs, _outputs, wanted): BoundPart {
      const { ids, mask, batch, tokens } = bindTokens(inputs, vocabulary);
      const { frequencies, scale } = ropeFrequencies(fields, decoder.headDim, tokens);
      const labels = nextTokens(labelsOf(inputs, ids, vocabulary), mask, tokens);
      const arrays = new Map([
        ['input_ids', ids],
        ['labels', labels],
        ...(mask ? ([['attention_mask', mask]] as const) : []),
      ]);
      const build = (b: ProgramBuilder, count: number) => {
        const rows = count * tokens;
        const masked = mask && b.input('attention_mask', 'i32', rows);
        const positions = b.constant(Int32Array.from({ length: rows }, (_, i) => i % tokens));
        const turns = b.constant(frequencies);
        const turn = (x: Rows) => b.rope(x, positions, turns, decoder.headDim, scale);
        let x = b.embedding(b.input('input_ids', 'i32', rows), table);
        const end = predicts(wanted) ? layers : lastShown(wanted, layers);
        for (let i = 0; i <= end && i < layers; i++) {
          if (wanted(hidden(i))) b.output(hidden(i), x, [count, tokens, width]);
          if (i === end) return;
          const { heads, kvHeads, headDim } = decoder;
          const shape: AttentionShape = {
            ...{ batch: count, heads, kvHeads, headDim, causal: true, window: window(i) },
            ...(masked && { mask: masked }),
          };
          x = block(b, x, `model.layers.${i}`, decoder, shape, turn);
        }
        const last = b.rmsNorm(x, 'model.norm.weight', decoder.epsilon);
        const targets = b.input('labels', 'i32', rows);
        if (!wanted('logits')) {
          // Logits of all tokens may be the largest array of all.
          b.output('token_losses', b.headLosses(last, head, targets), [count, tokens]);
          return;
        }
        const logits = b.linear(last, head);
        b.output('logits', logits, [count, tokens, logits.width]);
        b.output('token_losses', b.tokenLosses(logits, targets), [count, tokens]);
      };
      return { batch, tokens, arrays, build };
    },
  };
  return {
    name: String(config.model_type),
    parts: [part],
    longest: fields.count('max_position_embeddings', 2048),
    losses: part,
    paddingCounts: ropeDependsOnLength(fields),
    inner: new Set(Array.from({ length: layers }, (_, i) => hidden(i))),
    finish: (outputs, inputs) => {
      if (!outputs.has('token_losses')) return;
      const { ids, mask, tokens } = bindTokens(inputs, vocabulary);
      meanLoss(outputs, nextTokens(labelsOf(inputs, ids, vocabulary), mask, tokens));
    },
  };
};

/** What layer `i` begins with. */
export const hidden = (i: number): string => `hidden_states.${i}`;

/** Whether anything behind the last layer is wanted. */
const predicts = (wanted: (output: string) => boolean): boolean =>
  ['logits', 'loss', 'token_losses'].some(wanted);

function lastShown(wanted: (output: string) => boolean, layers: number): number {
  return Array.from({ length: layers }, (_, i) => i).findLast((i) => wanted(hidden(i))) ?? layers;
}

function block(
  b: ProgramBuilder,
  x: Rows,
  layer: string,
  { headDim, epsilon, activation }: Decoder,
  shape: AttentionShape,
  turn: (x: Rows) => Rows,
): Rows {
  const self = `${layer}.self_attn`;
  const normed = b.rmsNorm(x, `${layer}.input_layernorm.weight`, epsilon);
  const headNorm = (x: Rows, name: string) =>
    b.weights.has(name) ? b.rmsNorm(x, name, epsilon, headDim) : x;
  const q = turn(headNorm(b.linear(normed, `${self}.q_proj.weight`), `${self}.q_norm.weight`));
  const k = turn(headNorm(b.linear(normed, `${self}.k_proj.weight`), `${self}.k_norm.weight`));
  const v = b.linear(normed, `${self}.v_proj.weight`);
  const attended = b.add(b.linear(b.attention([q, k, v], shape), `${self}.o_proj.weight`), x);
  const inner = b.rmsNorm(attended, `${layer}.post_attention_layernorm.weight`, epsilon);
  const gated = b.gate(
    b.linear(inner, `${layer}.mlp.gate_proj.weight`),
    b.linear(inner, `${layer}.mlp.up_proj.weight`),
    activation,
  );
  return b.add(b.linear(gated, `${layer}.mlp.down_proj.weight`), attended);
}

/** How far back each layer attends; 0: to the beginning. */
function slidingWindows(config: Config, fields: ConfigFields, layers: number): (layer: number) => number {
  const kinds = fields.list('layer_types');
  const switchedOff = config.use_sliding_window === false;
  const qwen = typeof config.model_type === 'string' && config.model_type.startsWith('qwen');
  if (!fields.has('sliding_window') || switchedOff || (qwen && !fields.flag('use_sliding_window'))) {
    return () => 0;
  }
  const window = fields.count('sliding_window');
  if (kinds) return (layer) => (kinds[layer] === 'sliding_attention' ? window : 0);
  const first = qwen ? fields.number('max_window_layers', layers) : 0;
  return (layer) => (layer >= first ? window : 0);
}

/** The output head's weight: the embeddings where they are tied, or where there is no other. */
function outputHead(fields: ConfigFields, weights: WeightTable): string {
  const own = 'lm_head.weight';
  return fields.flag('tie_word_embeddings') || !weights.has(own) ? table : own;
}

function labelsOf(inputs: NetworkInputs, ids: Int32Array, vocabulary: number): Int32Array {
  const labels = inputs.get('labels');
  if (!labels) return ids;
  checkShape('labels', labels, inputs.get('input_ids')!.shape);
  return wholeOf('labels', labels, -(2 ** 31), vocabulary);
}

/** At each position the token to predict there, the one behind it; -1 where none counts. */
function nextTokens(labels: Int32Array, mask: Int32Array | undefined, tokens: number): Int32Array {
  return Int32Array.from(labels, (_, i) => {
    if (i % tokens === tokens - 1 || mask?.[i + 1] === 0) return -1;
    return Math.max(-1, labels[i + 1]!);
  });
}

function meanLoss(outputs: Map<string, NetworkOutput>, labels: Int32Array): void {
  const losses = outputs.get('token_losses')!.data;
  const counted = labels.reduce((count, label) => count + Number(label >= 0), 0);
  const sum = losses.reduce((total, loss) => total + loss, 0);
  outputs.delete('token_losses');
  outputs.set('loss', { shape: [1], data: Float32Array.of(sum / counted) });
}
