import { describe, expect, test } from 'vitest';
import { NetworkModel } from '../../../lib/eval/network.js';
import { bitsOf, compareWithFile, fixture, inputsOf, pickRows, whole } from '../../support/networks.js';

const [base, tuned] = [fixture('llama-tiny/base'), fixture('llama-tiny/a')];
const expected = fixture('llama-tiny/expected_logits.safetensors');

describe('Llama', () => {
  test('gives the logits and the loss of transformers at every alpha, from bf16 weights', async () => {
    await using model = await NetworkModel.open(base, tuned);
    const alphas = [0, 0.3, 1];
    const results = await model.forward(inputsOf(expected), alphas);
    expect(compareWithFile(expected, alphas, results)).toBeLessThan(1e-5);
  });

  test('padding behind a sequence changes neither its logits nor its loss', async () => {
    await using model = await NetworkModel.open(base, tuned);
    const ids = pickRows(inputsOf(expected).get('input_ids')!, [1]);
    const tokens = Array.from(new BigInt64Array(Uint8Array.from(ids.data).buffer), Number);
    const [plain] = await model.forward(new Map([['input_ids', ids]]), [0.3]);
    const padded = new Map([
      ['input_ids', whole([1, 150], [...tokens, ...Array(126).fill(5)])],
      ['attention_mask', whole([1, 150], [...tokens.map(() => 1), ...Array(126).fill(0)])],
    ]);
    const [longer] = await model.forward(padded, [0.3]);
    expect(longer!.get('logits')!.data.slice(0, 24 * 160)).toEqual(plain!.get('logits')!.data);
    expect(bitsOf(longer!).get('loss')).toEqual(bitsOf(plain!).get('loss'));
  });

  test('the loss alone, without logits, is the same to the bit', async () => {
    await using model = await NetworkModel.open(base, tuned);
    const inputs = inputsOf(expected);
    const all = await model.forward(inputs, [0, 0.3]);
    const losses = await model.forward(inputs, [0, 0.3], { outputs: ['loss'] });
    for (const [k, outputs] of losses.entries()) {
      expect([...outputs.keys()]).toEqual(['loss']);
      expect(bitsOf(outputs).get('loss')).toEqual(bitsOf(all[k]!).get('loss'));
    }
    const wrong = model.forward(inputs, [0], { outputs: ['loss', 'text_embeds'] });
    await expect(wrong).rejects.toThrow('(llama) gives no "text_embeds"');
  });

  test('labels say what counts', async () => {
    await using model = await NetworkModel.open(base);
    const ids = inputsOf(expected).get('input_ids')!;
    const tokens = Array.from(new BigInt64Array(Uint8Array.from(ids.data).buffer), Number);
    const only = tokens.map((token, i) => (i === 30 || i === 45 ? token : -100));
    const inputs = new Map([
      ['input_ids', ids],
      ['labels', whole([3, 24], only)],
    ]);
    const [result] = await model.forward(inputs, [0]);
    const logits = result!.get('logits')!.data;
    // -log softmax of the position before each, in f64.
    const loss = (i: number) => {
      const row = logits.slice((i - 1) * 160, i * 160);
      return Math.log(row.reduce((sum, z) => sum + Math.exp(z), 0)) - row[tokens[i]!]!;
    };
    expect(result!.get('loss')!.data[0]).toBeCloseTo((loss(30) + loss(45)) / 2, 5);
  });
});
