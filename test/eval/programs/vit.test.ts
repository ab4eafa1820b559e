import { describe, expect, test } from 'vitest';
import { NetworkModel } from '../../../lib/eval/network.js';
import { compareWithFile, fixture, inputsOf } from '../../support/networks.js';

const [zeroshot, finetuned] = [fixture('vit-tiny/zeroshot'), fixture('vit-tiny/finetuned')];
const expected = fixture('vit-tiny/expected.safetensors');

describe('ViT', () => {
  test('gives the logits of transformers at every alpha', async () => {
    await using model = await NetworkModel.open(zeroshot, finetuned);
    const alphas = [0, 0.3, 0.5, 1];
    const results = await model.forward(inputsOf(expected), alphas);
    expect(compareWithFile(expected, alphas, results)).toBeLessThan(1e-5);
  });
});
