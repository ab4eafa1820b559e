import type { Architecture, ArchitectureFactory, BoundPart } from './architecture.js';
import type { ProgramBuilder, Rows } from './builder.js';
import { ConfigFields } from './config-fields.js';
import { bindTokens, checkShape, type NetworkInputs, type TokenInputs, wholeOf } from './inputs.js';
import { type BlockNames, type BlockOptions, postNormBlock } from './transformer.js';
import type { WeightTable } from './weight-table.js';

/** An encoder for classification: its size, and how transformers names its tensors. */
interface Encoder {
  readonly name: string;
  readonly heads: number;
  readonly layers: number;
  readonly activation: BlockOptions['activation'];
  readonly epsilon: number;
  /** `word_embeddings`, … lie here. */
  readonly embeddings: string;
  readonly block: (layer: number) => BlockNames;
  /** The number of the padding token where positions count from behind it; undefined: they count from 0. */
  readonly padding: number | undefined;
  /** From the first token of each sequence to the logits. */
  readonly head: (b: ProgramBuilder, first: Rows) => Rows;
}

/** BertForSequenceClassification (Devlin et al., 2019). */
export const bert: ArchitectureFactory = (config, weights) => {
  const fields = new ConfigFields(config);
  return classifier(weights, {
    ...bertSize(fields),
    name: 'bert',
    embeddings: 'bert.embeddings',
    block: (layer) => bertBlock(`bert.encoder.layer.${layer}`),
    padding: undefined,
    head: (b, first) =>
      b.linear(b.activation(b.linear(first, 'bert.pooler.dense.weight'), 'tanh'), 'classifier.weight'),
  });
};

/** RobertaForSequenceClassification (Liu et al., 2019) and XLM-RoBERTa. */
export const roberta: ArchitectureFactory = (config, weights) => {
  const fields = new ConfigFields(config);
  return classifier(weights, {
    ...bertSize(fields),
    name: fields.text('model_type', 'roberta'),
    embeddings: 'roberta.embeddings',
    block: (layer) => bertBlock(`roberta.encoder.layer.${layer}`),
    padding: fields.number('pad_token_id', 1),
    head: (b, first) =>
      b.linear(
        b.activation(b.linear(first, 'classifier.dense.weight'), 'tanh'),
        'classifier.out_proj.weight',
      ),
  });
};

/** DistilBertForSequenceClassification (Sanh et al., 2019). */
export const distilbert: ArchitectureFactory = (config, weights) => {
  const fields = new ConfigFields(config);
  return classifier(weights, {
    heads: fields.count('n_heads', 12),
    layers: fields.count('n_layers', 6),
    activation: fields.activation('activation', 'gelu'),
    epsilon: 1e-12,
    name: 'distilbert',
    embeddings: 'distilbert.embeddings',
    block(layer) {
      const from = `distilbert.transformer.layer.${layer}`;
      const self = `${from}.attention`;
      return {
        norm1: `${from}.sa_layer_norm`,
        qkv: [`${self}.q_lin.weight`, `${self}.k_lin.weight`, `${self}.v_lin.weight`],
        out: `${self}.out_lin.weight`,
        norm2: `${from}.output_layer_norm`,
        up: `${from}.ffn.lin1.weight`,
        down: `${from}.ffn.lin2.weight`,
      };
    },
    padding: undefined,
    head: (b, first) =>
      b.linear(b.activation(b.linear(first, 'pre_classifier.weight'), 'relu'), 'classifier.weight'),
  });
};

function bertSize(fields: ConfigFields): Pick<Encoder, 'heads' | 'layers' | 'activation' | 'epsilon'> {
  return {
    heads: fields.count('num_attention_heads', 12),
    layers: fields.count('num_hidden_layers', 12),
    activation: fields.activation('hidden_act', 'gelu'),
    epsilon: fields.number('layer_norm_eps', 1e-12),
  };
}

function bertBlock(layer: string): BlockNames {
  const self = `${layer}.attention.self`;
  return {
    norm1: `${layer}.attention.output.LayerNorm`,
    qkv: [`${self}.query.weight`, `${self}.key.weight`, `${self}.value.weight`],
    out: `${layer}.attention.output.dense.weight`,
    norm2: `${layer}.output.LayerNorm`,
    up: `${layer}.intermediate.dense.weight`,
    down: `${layer}.output.dense.weight`,
  };
}

function classifier(weights: WeightTable, encoder: Encoder): Architecture {
  const { name, embeddings, heads, layers, activation, epsilon } = encoder;
  weights.refuse(/\.distance_embedding\./, 'relative positions');
  const table = `${embeddings}.word_embeddings.weight`;
  const [vocabulary, width] = weights.info(table).shape as [number, number];
  const places = `${embeddings}.position_embeddings.weight`;
  const longest = weights.info(places).shape[0]! - (encoder.padding === undefined ? 0 : encoder.padding + 1);
  const types = `${embeddings}.token_type_embeddings.weight`;
  return {
    name,
    parts: [
      {
        needs: ['input_ids'],
        reads: ['attention_mask', 'token_type_ids'],
        bind(inputs): BoundPart {
          const bound = bindTokens(inputs, vocabulary, longest);
          const { ids, mask, batch, tokens } = bound;
          const typed = weights.has(types);
          const arrays = new Map([
            ['input_ids', ids],
            ['positions', positionsOf(bound, encoder.padding)],
            ...(mask ? ([['attention_mask', mask]] as const) : []),
            ...(typed
              ? ([['token_type_ids', typesOf(inputs, bound, weights.info(types).shape[0]!)]] as const)
              : []),
          ]);
          const build = (b: ProgramBuilder, count: number) => {
            const rows = count * tokens;
            const masked = mask && b.input('attention_mask', 'i32', rows);
            let x = b.embedding(b.input('input_ids', 'i32', rows), table);
            if (typed) x = b.add(x, b.embedding(b.input('token_type_ids', 'i32', rows), types));
            x = b.add(x, b.embedding(b.input('positions', 'i32', rows), places));
            x = b.layerNorm(x, `${embeddings}.LayerNorm`, epsilon);
            const attention = {
              ...{ batch: count, heads, headDim: width / heads },
              ...(masked && { mask: masked }),
            };
            for (let i = 0; i < layers; i++) {
              x = postNormBlock(b, x, encoder.block(i), { attention, activation, epsilon });
            }
            const logits = encoder.head(b, b.pick(x, count, 0));
            b.output('logits', logits, [count, logits.width]);
          };
          return { batch, tokens, arrays, build };
        },
      },
    ],
  };
}

/** From 0; or, where padding has a place of its own, from behind it, padding staying there. */
function positionsOf({ ids, tokens }: TokenInputs, padding: number | undefined): Int32Array {
  let seen = 0;
  return Int32Array.from(ids, (id, i) => {
    if (padding === undefined) return i % tokens;
    if (i % tokens === 0) seen = 0;
    if (id === padding) return padding;
    seen++;
    return padding + seen;
  });
}

function typesOf(inputs: NetworkInputs, { ids, batch, tokens }: TokenInputs, count: number): Int32Array {
  const given = inputs.get('token_type_ids');
  if (!given) return new Int32Array(ids.length);
  checkShape('token_type_ids', given, [batch, tokens]);
  return wholeOf('token_type_ids', given, 0, count);
}
