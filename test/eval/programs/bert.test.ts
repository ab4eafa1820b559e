import { describe, expect, test } from 'vitest';
import { NetworkModel } from '../../../lib/eval/network.js';
import { relativeError, whole } from '../../support/networks.js';
import { linearShapes, type ModelShape, normShapes, randomModel } from '../../support/random-models.js';
import {
  add,
  attention,
  embed,
  gelu,
  layerNorm,
  linear,
  type Matrix,
  map,
  type Weights,
} from '../../support/reference-network.js';

const [width, inner, classes, vocabulary, heads, layers] = [12, 20, 3, 30, 3, 2];

interface Names {
  readonly embeddings: string;
  readonly layer: (i: number) => Record<'q' | 'k' | 'v' | 'out' | 'norm1' | 'up' | 'down' | 'norm2', string>;
}

const bertNames = (prefix: string): Names => ({
  embeddings: `${prefix}.embeddings`,
  layer(i) {
    const at = `${prefix}.encoder.layer.${i}`;
    return {
      q: `${at}.attention.self.query`,
      k: `${at}.attention.self.key`,
      v: `${at}.attention.self.value`,
      out: `${at}.attention.output.dense`,
      norm1: `${at}.attention.output.LayerNorm`,
      up: `${at}.intermediate.dense`,
      down: `${at}.output.dense`,
      norm2: `${at}.output.LayerNorm`,
    };
  },
});
const distilNames: Names = {
  embeddings: 'distilbert.embeddings',
  layer(i) {
    const at = `distilbert.transformer.layer.${i}`;
    return {
      q: `${at}.attention.q_lin`,
      k: `${at}.attention.k_lin`,
      v: `${at}.attention.v_lin`,
      out: `${at}.attention.out_lin`,
      norm1: `${at}.sa_layer_norm`,
      up: `${at}.ffn.lin1`,
      down: `${at}.ffn.lin2`,
      norm2: `${at}.output_layer_norm`,
    };
  },
};

function shapesOf({ embeddings, layer }: Names, types: number): Record<string, readonly number[]> {
  const shapes: Record<string, readonly number[]> = {
    [`${embeddings}.word_embeddings.weight`]: [vocabulary, width],
    [`${embeddings}.position_embeddings.weight`]: [18, width],
    ...(types > 0 && { [`${embeddings}.token_type_embeddings.weight`]: [types, width] }),
    ...normShapes(`${embeddings}.LayerNorm`, width),
  };
  for (let i = 0; i < layers; i++) {
    const at = layer(i);
    for (const name of [at.q, at.k, at.v, at.out]) Object.assign(shapes, linearShapes(name, width, width));
    Object.assign(shapes, linearShapes(at.up, inner, width), linearShapes(at.down, width, inner));
    Object.assign(shapes, normShapes(at.norm1, width), normShapes(at.norm2, width));
  }
  return shapes;
}

interface Sequence {
  readonly ids: number[];
  readonly mask: number[];
  readonly positions: number[];
  readonly types: number[];
}

/** The first token behind the last layer. */
function encode(weights: Weights, { embeddings, layer }: Names, sequence: Sequence, epsilon: number): Matrix {
  const { ids, mask, positions, types } = sequence;
  let x = add(
    embed(ids, weights, `${embeddings}.word_embeddings`, width),
    embed(positions, weights, `${embeddings}.position_embeddings`, width),
  );
  const typeTable = `${embeddings}.token_type_embeddings`;
  if (weights.has(`${typeTable}.weight`)) x = add(x, embed(types, weights, typeTable, width));
  x = layerNorm(x, weights, `${embeddings}.LayerNorm`, epsilon);
  for (let i = 0; i < layers; i++) {
    const at = layer(i);
    const qkv = [at.q, at.k, at.v].map((name) => linear(x, weights, name)) as [Matrix, Matrix, Matrix];
    const attended = attention(qkv, width / heads, (_, j) => mask[j] === 1);
    x = layerNorm(add(x, linear(attended, weights, at.out)), weights, at.norm1, epsilon);
    const hidden = map(linear(x, weights, at.up), gelu);
    x = layerNorm(add(x, linear(hidden, weights, at.down)), weights, at.norm2, epsilon);
  }
  return [x[0]!];
}

const ids = [
  [7, 3, 29, 4, 5, 1, 1],
  [2, 2, 8, 1, 1, 1, 1],
];
const mask = ids.map((row) => row.map((id) => Number(id !== 1)));
const types = [
  [0, 0, 1, 1, 1, 0, 0],
  [0, 1, 1, 0, 0, 0, 0],
];
const counted = ids.map((row) => row.map((_, i) => i));
const size = { hidden_size: width, num_attention_heads: heads, num_hidden_layers: layers };

interface Family {
  readonly name: string;
  readonly model: ModelShape;
  readonly names: Names;
  readonly epsilon: number;
  readonly positions: number[][];
  readonly head: (x: Matrix, weights: Weights) => Matrix;
}

const families: Family[] = [
  {
    name: 'BERT',
    names: bertNames('bert'),
    model: {
      config: { model_type: 'bert', layer_norm_eps: 1e-5, ...size },
      shapes: {
        ...shapesOf(bertNames('bert'), 2),
        ...linearShapes('bert.pooler.dense', width, width),
        ...linearShapes('classifier', classes, width),
      },
    },
    epsilon: 1e-5,
    positions: counted,
    head: (x, weights) =>
      linear(map(linear(x, weights, 'bert.pooler.dense'), Math.tanh), weights, 'classifier'),
  },
  {
    name: 'RoBERTa, whose positions count from behind the padding token',
    names: bertNames('roberta'),
    model: {
      config: { model_type: 'roberta', pad_token_id: 1, layer_norm_eps: 1e-5, ...size },
      shapes: {
        ...shapesOf(bertNames('roberta'), 2),
        ...linearShapes('classifier.dense', width, width),
        ...linearShapes('classifier.out_proj', classes, width),
      },
    },
    epsilon: 1e-5,
    positions: [
      [2, 3, 4, 5, 6, 1, 1],
      [2, 3, 4, 1, 1, 1, 1],
    ],
    head: (x, weights) =>
      linear(map(linear(x, weights, 'classifier.dense'), Math.tanh), weights, 'classifier.out_proj'),
  },
  {
    name: 'DistilBERT, without token types',
    names: distilNames,
    model: {
      config: { model_type: 'distilbert', dim: width, n_heads: heads, n_layers: layers },
      shapes: {
        ...shapesOf(distilNames, 0),
        ...linearShapes('pre_classifier', width, width),
        ...linearShapes('classifier', classes, width),
      },
    },
    epsilon: 1e-12,
    positions: counted,
    head: (x, weights) =>
      linear(
        map(linear(x, weights, 'pre_classifier'), (v) => Math.max(0, v)),
        weights,
        'classifier',
      ),
  },
];

describe('encoders for classification', () => {
  test.each(families)('$name, against f64', async ({ model, names, epsilon, positions, head }) => {
    const { path, weights } = await randomModel(model);
    await using network = await NetworkModel.open(path);
    const inputs = new Map([
      ['input_ids', whole([2, 7], ids.flat())],
      ['attention_mask', whole([2, 7], mask.flat())],
      ['token_type_ids', whole([2, 7], types.flat())],
    ]);
    const [result] = await network.forward(inputs, [0]);
    const logits = result!.get('logits')!;
    expect(logits.shape).toEqual([2, classes]);
    const expected = ids.flatMap((row, i) => {
      const sequence = { ids: row, mask: mask[i]!, positions: positions[i]!, types: types[i]! };
      return head(encode(weights, names, sequence, epsilon), weights)[0]!;
    });
    expect(relativeError(logits.data, expected)).toBeLessThan(5e-6);
  });

  test('padding behind a text changes no bit; a longer text than there are positions is refused', async () => {
    const { path } = await randomModel(families[0]!.model);
    await using network = await NetworkModel.open(path);
    const row = [7, 3, 29, 4, 5];
    const [short] = await network.forward(new Map([['input_ids', whole([1, 5], row)]]), [0]);
    const padded = new Map([
      ['input_ids', whole([1, 18], [...row, ...Array(13).fill(9)])],
      ['attention_mask', whole([1, 18], [...row.map(() => 1), ...Array(13).fill(0)])],
    ]);
    const [long] = await network.forward(padded, [0]);
    expect(long!.get('logits')!.data).toEqual(short!.get('logits')!.data);
    const tooLong = new Map([['input_ids', whole([1, 19], Array(19).fill(9))]]);
    await expect(network.forward(tooLong, [0])).rejects.toMatchObject({ code: 'ERR_DATA_MISMATCH' });
  });
});
