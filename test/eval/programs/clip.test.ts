import { describe, expect, test } from 'vitest';
import { NetworkModel } from '../../../lib/eval/network.js';
import { bitsOf, compareWithFile, fixture, inputsOf, pickRows, whole } from '../../support/networks.js';

const [zeroshot, finetuned] = [fixture('clip-tiny/zeroshot'), fixture('clip-tiny/finetuned')];
const expected = fixture('clip-tiny/expected.safetensors');

describe('CLIP', () => {
  test('gives the embeddings and logits of transformers at every alpha', async () => {
    await using model = await NetworkModel.open(zeroshot, finetuned);
    const alphas = [0, 0.3, 0.5, 1];
    const results = await model.forward(inputsOf(expected), alphas);
    expect(compareWithFile(expected, alphas, results)).toBeLessThan(1e-5);
  });

  test('each tower runs alone, to the same bits', async () => {
    await using model = await NetworkModel.open(zeroshot, finetuned);
    const [both] = await model.forward(inputsOf(expected), [0.3]);
    const [image] = await model.forward(inputsOf(expected, ['pixel_values']), [0.3]);
    const [text] = await model.forward(inputsOf(expected, ['input_ids', 'attention_mask']), [0.3]);
    expect([...image!.keys()]).toEqual(['image_embeds']);
    expect([...text!.keys()]).toEqual(['text_embeds']);
    for (const part of [image!, text!]) {
      for (const [name, bits] of bitsOf(part)) expect(bits).toEqual(bitsOf(both!).get(name));
    }
  });

  test('a text is the same with less padding behind it, and beside other texts', async () => {
    await using model = await NetworkModel.open(zeroshot, finetuned, { batchTokens: 40 });
    const inputs = inputsOf(expected, ['input_ids', 'attention_mask']);
    const [all] = await model.forward(inputs, [0.5]);
    const rows = all!.get('text_embeds')!;
    for (const row of [3, 0]) {
      const ids = pickRows(inputs.get('input_ids')!, [row]);
      const mask = pickRows(inputs.get('attention_mask')!, [row]);
      const used = new BigInt64Array(Uint8Array.from(mask.data).buffer).lastIndexOf(1n) + 1;
      const tokens = Array.from(
        new BigInt64Array(Uint8Array.from(ids.data).buffer).subarray(0, used),
        Number,
      );
      const short = new Map([
        ['input_ids', whole([1, used], tokens)],
        [
          'attention_mask',
          whole(
            [1, used],
            tokens.map(() => 1),
          ),
        ],
      ]);
      const [alone] = await model.forward(short, [0.5]);
      expect(alone!.get('text_embeds')!.data).toEqual(rows.data.slice(24 * row, 24 * (row + 1)));
    }
  });

  test('too long a text is refused', async () => {
    await using model = await NetworkModel.open(zeroshot);
    const inputs = new Map([['input_ids', whole([1, 17], Array(17).fill(1))]]);
    await expect(model.forward(inputs, [0])).rejects.toMatchObject({ code: 'ERR_DATA_MISMATCH' });
  });
});
