// What inner layers of a decoder begin with: asked for by name, and that of the definition.
import { describe, expect, test } from 'vitest';
import { NetworkModel } from '../../../lib/eval/network.js';
import { hiddenStates } from '../../support/llama-reference.js';
import { bitsOf, fixture, inputsOf } from '../../support/networks.js';

const base = fixture('llama-tiny/base');
const expected = fixture('llama-tiny/expected_logits.safetensors');

describe('hidden states', () => {
  test('are those of the definition in f64, layer by layer', async () => {
    await using model = await NetworkModel.open(base);
    const inputs = inputsOf(expected, ['input_ids']);
    const { data, shape } = inputs.get('input_ids')!;
    const ids = Array.from(new BigInt64Array(Uint8Array.from(data).buffer), Number);
    const [batch, tokens] = shape as [number, number];
    const layers = 4;
    const names = Array.from({ length: layers }, (_, i) => `hidden_states.${i}`);
    const [outputs] = await model.forward(inputs, [0], { outputs: names });
    expect([...outputs!.keys()]).toEqual(names);
    for (let n = 0; n < batch; n++) {
      const wanted = hiddenStates(base, ids.slice(n * tokens, (n + 1) * tokens));
      for (const [i, name] of names.entries()) {
        const { data: got, shape: given } = outputs!.get(name)!;
        const width = wanted[i]![0]!.length;
        expect(given).toEqual([batch, tokens, width]);
        const most = Math.max(...wanted[i]!.flat().map(Math.abs));
        for (let t = 0; t < tokens; t++) {
          for (let j = 0; j < width; j++) {
            const value = got[(n * tokens + t) * width + j]!;
            expect(Math.abs(value - wanted[i]![t]![j]!)).toBeLessThan(1e-5 * most);
          }
        }
      }
    }
  });

  test('change nothing else, and are not given unless they are asked for', async () => {
    await using model = await NetworkModel.open(base);
    const inputs = inputsOf(expected, ['input_ids']);
    const [plain] = await model.forward(inputs, [0]);
    expect([...plain!.keys()].sort()).toEqual(['logits', 'loss']);
    const [both] = await model.forward(inputs, [0], { outputs: ['loss', 'hidden_states.2'] });
    expect([...both!.keys()].sort()).toEqual(['hidden_states.2', 'loss']);
    expect(bitsOf(both!).get('loss')).toEqual(bitsOf(plain!).get('loss'));
    const [alone] = await model.forward(inputs, [0], { outputs: ['hidden_states.2'] });
    expect(bitsOf(alone!).get('hidden_states.2')).toEqual(bitsOf(both!).get('hidden_states.2'));
    const missing = model.forward(inputs, [0], { outputs: ['hidden_states.9'] });
    await expect(missing).rejects.toThrow('gives no "hidden_states.9"');
  });
});
