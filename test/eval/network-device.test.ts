import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { NetworkModel } from '../../lib/eval/network.js';
import { networkDevice } from '../../lib/eval/network-device.js';
import { devices } from '../../lib/native.js';
import { sweep } from '../../lib/sweep/sweep.js';
import { project } from '../support/image-project.js';
import { fixture } from '../support/networks.js';
import { tempDir } from '../support/temp.js';

const gpu = devices().find(({ backend, available }) => backend === 'cuda' && available);
const reason = devices().find(({ backend }) => backend === 'cuda')?.reason;

describe('the device of a network', () => {
  test('is what is named, and the first GPU or the CPU where none is', () => {
    expect(networkDevice({ device: 'cpu' })).toBe('cpu');
    expect(networkDevice({ device: 'cuda' })).toBe('cuda:0');
    expect(networkDevice({ device: 'cuda:2' })).toBe('cuda:2');
    expect(networkDevice({ device: 'cuda', precision: 'fast' })).toBe('cuda:0');
    const best = gpu ? `cuda:${gpu.ordinal}` : 'cpu';
    expect(networkDevice({})).toBe(best);
    expect(networkDevice({ device: 'auto', precision: 'exact' })).toBe(best);
    expect(networkDevice({ precision: 'fast' })).toMatch(/^cuda:/);
    expect(networkDevice({ precision: 'tf32' })).toMatch(/^cuda:/);
  });

  test.each([
    [{ device: 'tpu' }, 'not "tpu"'],
    [{ device: 'cuda:' }, 'auto, cpu, cuda or cuda:N'],
    [
      { device: 'cpu', precision: 'fast' } as const,
      'precision fast is for tensor cores; the CPU is always exact',
    ],
    [{ device: 'cpu', precision: 'tf32' } as const, 'precision tf32 is for tensor cores'],
  ])('%o is refused', (options, message) => {
    expect(() => networkDevice(options)).toThrow(
      expect.objectContaining({ code: 'ERR_USAGE', message: expect.stringContaining(message) }),
    );
  });

  test.skipIf(gpu)('is the CPU for a model unless another is named, which must be there', async () => {
    await using model = await NetworkModel.open(fixture('vit-tiny/zeroshot'));
    expect(model.device).toBe('cpu');
    for (const options of [{ device: 'cuda' }, { device: 'cuda:1' }, { device: 'auto', precision: 'fast' }]) {
      const opening = NetworkModel.open(fixture('vit-tiny/zeroshot'), undefined, options as object);
      await expect(opening).rejects.toMatchObject({
        code: 'ERR_DEVICE_UNAVAILABLE',
        message: expect.stringContaining(reason!),
      });
    }
  });

  test.skipIf(gpu)(
    'of a sweep on images or text is told to be missing before any output is made',
    async () => {
      const { directory, options } = await project('vit-tiny');
      const out = join(directory, 'out');
      const failure = { code: 'ERR_DEVICE_UNAVAILABLE', message: expect.stringContaining(reason!) };
      await expect(sweep({ ...options, out, device: 'cuda' })).rejects.toMatchObject(failure);
      await expect(sweep({ ...options, out, device: 'cuda', precision: 'fast' })).rejects.toMatchObject(
        failure,
      );
      const text = {
        zeroshot: fixture('llama-tiny/base'),
        finetuned: fixture('llama-tiny/a'),
        sets: [{ name: 'a', role: 'select', kind: 'id', text: join(await tempDir(), 'a.txt') }] as const,
      };
      const sets = [...text.sets];
      await expect(sweep({ ...text, sets, out, device: 'cuda:3' })).rejects.toMatchObject(failure);
      expect(existsSync(out)).toBe(false);
      // Without tensor cores there is nothing to be fast with.
      await expect(sweep({ ...options, out, precision: 'fast' })).rejects.toMatchObject({
        code: 'ERR_SWEEP_FILE',
      });
    },
  );
});
