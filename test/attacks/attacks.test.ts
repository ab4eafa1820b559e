import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint, WisemergeError } from '../../lib/index.js';
import { hostBufferBytes } from '../../lib/native.js';
import { tempDir } from '../support/temp.js';
import { attackCases } from './cases.js';

describe.each([
  { verdict: 'is accepted', accept: true },
  { verdict: 'is refused', accept: false },
])('a file that $verdict', ({ accept }) => {
  const cases = attackCases.filter((one) => one.accept === accept);

  it.each(cases)('$name', async ({ bytes, code }) => {
    const path = join(await tempDir(), 'case.safetensors');
    const content = bytes();
    writeFileSync(path, content);
    const before = hostBufferBytes();
    if (accept) {
      const { tensors } = await openCheckpoint(path);
      for (const { offset, bytes: size } of tensors.values()) {
        expect(offset).toBeGreaterThanOrEqual(10);
        expect(offset + size).toBeLessThanOrEqual(content.length);
      }
    } else {
      const error = await openCheckpoint(path).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(WisemergeError);
      expect(error).toMatchObject({ code, file: path });
    }
    // Nothing native outlives the attempt.
    expect(hostBufferBytes()).toBe(before);
  });
});
