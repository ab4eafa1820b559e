// Which tensors follow the vocabulary, by the names that architectures give them. Expected rows are written by hand.
import { describe, expect, it } from 'vitest';
import { isVocabularyTensor } from '../../../lib/merge/vocabulary-tensors.js';
import { f32, numbers, Workshop } from '../../support/merge-file.js';
import { tempDir } from '../../support/temp.js';

const tokenizer = (tokens: readonly string[]) =>
  JSON.stringify({
    added_tokens: [],
    model: { type: 'BPE', vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges: [] },
  });

/** x has a, b, c, d; y has d, c, b, a. The number of a token is the same in both: 1, 2, 3, 4. */
async function reversed(
  tensors: readonly (readonly [name: string, shape: readonly number[]])[],
): Promise<Workshop> {
  const shop = new Workshop(await tempDir());
  const values = { x: [1, 2, 3, 4], y: [4, 3, 2, 1] };
  for (const [name, tokens] of [
    ['x', ['a', 'b', 'c', 'd']],
    ['y', ['d', 'c', 'b', 'a']],
  ] as const) {
    const made = tensors.map(([tensor, shape]) => f32(tensor, shape, shape.includes(4) ? values[name] : [1]));
    shop.model(name, made, {
      config: { vocab_size: 4, tie_word_embeddings: false },
      files: { 'tokenizer.json': tokenizer(tokens) },
    });
  }
  return shop;
}
const union =
  'merge_method: linear\nmodels: [{model: $/x, parameters: {weight: 1}}, {model: $/y, parameters: {weight: 1}}]\ntokenizer_source: union\n';

describe('a union of one vocabulary in two orders', () => {
  it.each([
    ['InternLM2', 'model.tok_embeddings.weight', 'output.weight', [4, 1]],
    ['InternVL', 'language_model.model.tok_embeddings.weight', 'language_model.output.weight', [4, 1]],
    ['ChatGLM', 'transformer.embedding.word_embeddings.weight', 'transformer.output_layer.weight', [4, 1]],
    ['BART', 'model.shared.weight', 'final_logits_bias', [1, 4]],
    ['BERT', 'bert.embeddings.word_embeddings.weight', 'cls.predictions.decoder.weight', [4, 1]],
    ['BERT', 'bert.embeddings.word_embeddings.weight', 'cls.predictions.bias', [4]],
    ['RoBERTa', 'roberta.embeddings.word_embeddings.weight', 'lm_head.decoder.weight', [4, 1]],
    ['CLIP', 'text_model.embeddings.token_embedding.weight', 'lm_head.bias', [4]],
  ] as const)('gives each token its number, in %s’s %s and %s', async (_, embedding, head, shape) => {
    const shop = await reversed([
      [embedding, [4, 1]],
      ['model.norm.weight', [1]],
      [head, shape],
    ]);
    const { warnings } = await shop.merge(union);
    const output = shop.output();
    expect(numbers(output.get(embedding)!)).toEqual([1, 2, 3, 4]);
    expect(numbers(output.get(head)!)).toEqual([1, 2, 3, 4]);
    expect(output.get(head)!.shape).toEqual(shape);
    expect(warnings).toEqual([]);
  });

  it('names what has as many of something as there are tokens, and is not moved', async () => {
    const shop = await reversed([
      ['model.embed_tokens.weight', [4, 1]],
      ['odd_head.weight', [4, 1]],
    ]);
    const { warnings } = await shop.merge(union);
    expect(numbers(shop.output().get('odd_head.weight')!)).toEqual([2.5, 2.5, 2.5, 2.5]);
    expect(warnings).toEqual([expect.stringMatching(/odd_head\.weight/)]);
  });

  it('says nothing of such tensors where no row moves', async () => {
    const shop = await reversed([
      ['model.embed_tokens.weight', [4, 1]],
      ['odd_head.weight', [4, 1]],
    ]);
    const { warnings } = await shop.merge(union.replaceAll('$/y', '$/x').replace(/, \{model.*?\}\}/, ''));
    expect(warnings).toEqual([]);
  });
});

it('a bias over the last axis grows with the vocabulary', async () => {
  const shop = new Workshop(await tempDir());
  for (const [name, tokens, values] of [
    ['x', ['a', 'b'], [1, 2]],
    ['y', ['c', 'a', 'b'], [30, 10, 20]],
  ] as const) {
    shop.model(
      name,
      [
        f32('model.shared.weight', [tokens.length, 1], values),
        f32('final_logits_bias', [1, tokens.length], values),
      ],
      { config: { vocab_size: tokens.length }, files: { 'tokenizer.json': tokenizer(tokens) } },
    );
  }
  await shop.merge(union);
  const bias = shop.output().get('final_logits_bias')!;
  expect([bias.shape, numbers(bias)]).toEqual([
    [1, 3],
    [5.5, 11, 30],
  ]);
});

it.each([
  'model.layers.0.attention.output.weight',
  'encoder.layer.0.output.dense.weight',
  'vision_model.projector.output.weight',
  'model.layers.0.mlp.shared.weight',
  'model.layers.0.mlp.shared_expert.up_proj.weight',
  'bert.pooler.output.weight',
  'lm_head.dense.weight',
  'cls.predictions.transform.dense.weight',
  'word_embeddings_layernorm.weight',
])('%s does not follow the vocabulary', (name) => {
  expect(isVocabularyTensor(name, [4, 4])).toBe(false);
});
