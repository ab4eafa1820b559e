// Heads with weights that are no numbers, or so large that logits would not be.
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { writeSafetensors } from '../../lib/checkpoint/write-safetensors.js';
import { sweep } from '../../lib/sweep/sweep.js';
import { sweepProject } from '../support/sweep-project.js';

const [classes, dimension] = [6, 10];
const raw = (array: Float32Array | Float64Array | Uint16Array) =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** A sweep whose fine-tuned head has `weight` as one element, or `bias`. */
async function attempt({
  weight,
  bias,
  metrics = true,
}: Record<'weight' | 'bias', number> & { metrics?: boolean }) {
  const { directory, options, model } = await sweepProject();
  const w = model.weights[1].slice();
  w[13] = weight;
  const b = new Float32Array(classes).fill(bias, 2, 3);
  const finetuned = join(directory, 'changed.safetensors');
  await writeSafetensors(finetuned, [
    { name: 'head.weight', dtype: 'F32', shape: [classes, dimension], data: raw(w) },
    { name: 'head.bias', dtype: 'F32', shape: [classes], data: raw(b) },
  ]);
  return { finetuned, run: sweep({ ...options, finetuned, metrics, out: join(directory, 'out') }) };
}

describe.each([{ metrics: true }, { metrics: false }])('a head, with %o,', (given) => {
  test.each([
    ['head.weight', { weight: Number.NaN, bias: 0 }],
    ['head.weight', { weight: Number.NEGATIVE_INFINITY, bias: 0 }],
    ['head.bias', { weight: 0, bias: Number.POSITIVE_INFINITY }],
  ])('whose %s is not finite is refused: %o', async (tensor, values) => {
    const { finetuned, run } = await attempt({ ...values, ...given });
    await expect(run).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: `${tensor} has 1 elements that are NaN or infinite`,
      ...{ tensor, file: finetuned },
    });
  });

  test.each([
    { weight: 3e38, bias: 0 },
    { weight: -3e38, bias: 0 },
    { weight: 0, bias: 3e38 },
  ])('whose logits could overflow is refused: %o', async (values) => {
    const { run } = await attempt({ ...values, ...given });
    await expect(run).rejects.toMatchObject({
      code: 'ERR_EVALUATION',
      message: expect.stringMatching(/row 0, column \d: .*range of float32/),
      tensor: 'head.weight',
    });
  });
});

test('beyond float32, and in half precision, the same holds', async () => {
  const { directory, options } = await sweepProject();
  const finetuned = join(directory, 'changed.safetensors');
  const shape = [classes, dimension];
  const wide = new Float64Array(classes * dimension).fill(1e39, 5, 7);
  await writeSafetensors(finetuned, [{ name: 'head.weight', dtype: 'F64', shape, data: raw(wide) }]);
  const message = 'head.weight has 2 elements that are NaN or infinite';
  await expect(sweep({ ...options, finetuned, out: join(directory, 'wide') })).rejects.toMatchObject({
    message,
  });
  const [infinite, large] = [0xfc00, 0x7bff].map((code) => new Uint16Array(classes * dimension).fill(code));
  const half = (codes: Uint16Array) => [
    { name: 'head.weight', dtype: 'F16' as const, shape, data: raw(codes) },
  ];
  const [broken, working] = ['broken', 'working'].map((name) => join(directory, `${name}.safetensors`));
  await writeSafetensors(broken!, half(infinite!));
  const refused = sweep({ ...options, zeroshot: broken!, finetuned: broken!, out: join(directory, 'half') });
  await expect(refused).rejects.toMatchObject({ code: 'ERR_DATA', file: broken });
  // The largest half is far from the largest float: nothing overflows.
  await writeSafetensors(working!, half(large!));
  const { alphas } = await sweep({
    ...{ ...options, zeroshot: working!, finetuned: working! },
    out: join(directory, 'large'),
  });
  expect(alphas).toHaveLength(11);
});
