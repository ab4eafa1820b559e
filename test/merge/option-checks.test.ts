import { describe, expect, it } from 'vitest';
import { merge } from '../../lib/index.js';
import { makePair } from '../support/pair.js';

describe('sizes', () => {
  it('are refused with both limits and a size that would do', async () => {
    const { zeroshot, finetuned, out } = await makePair();
    const given = { zeroshot, finetuned, out, alpha: 0.5 };
    for (const memory of [1000, 1e18, 5e6 + 0.5]) {
      await expect(merge({ ...given, memory })).rejects.toMatchObject({
        code: 'ERR_USAGE',
        message:
          'memory: must be a whole number of bytes from 4194304 to 9007199254740991, such as --memory 4MiB',
      });
    }
    await expect(merge({ ...given, threads: 2 ** 60 })).rejects.toMatchObject({
      message: 'threads: must be a whole number from 1 to 1024',
    });
  });
});
