import { readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { measureDiskSpeed, measureReadSpeed } from '../../lib/checkpoint/disk-speed.js';
import { hostBufferBytes } from '../../lib/native.js';
import { tempDir } from '../support/temp.js';

const bytes = 16 * 2 ** 20;
/** More than any disk holds. */
const endless = 2 ** 50;

describe('the speed of a disk', () => {
  it('is measured, and nothing stays', async () => {
    const root = await tempDir();
    const { read, write } = await measureDiskSpeed(root, { bytes });
    expect(read).toBeGreaterThan(0);
    expect(write).toBeGreaterThan(0);
    expect(readdirSync(root)).toEqual([]);
  });

  it('is measured until that is aborted, with no name that a killed process could leave behind', async () => {
    const root = await tempDir();
    const before = hostBufferBytes();
    const controller = new AbortController();
    const reason = new Error('enough');
    let meanwhile: string[] | undefined;
    setTimeout(() => {
      meanwhile = readdirSync(root);
      controller.abort(reason);
    }, 300);
    const measuring = measureDiskSpeed(root, { bytes: endless, signal: controller.signal });
    await expect(measuring).rejects.toBe(reason);
    expect(meanwhile).toEqual([]);
    expect(readdirSync(root)).toEqual([]);
    expect(hostBufferBytes()).toBe(before);
  });

  it('of a directory that is none is an error that names it', async () => {
    const directory = join(await tempDir(), 'absent');
    await expect(measureDiskSpeed(directory)).rejects.toMatchObject({ code: 'ERR_IO', file: directory });
  });

  it.each(['direct', 'cached'] as const)(
    'by reading a file is measured until that is aborted: %s',
    async (mode) => {
      const path = join(await tempDir(), 'file');
      writeFileSync(path, '');
      truncateSync(path, bytes);
      expect(await measureReadSpeed({ path, size: bytes }, mode)).toBeGreaterThan(0);
      const before = hostBufferBytes();
      const reason = new Error('enough');
      const options = { signal: AbortSignal.abort(reason) };
      await expect(measureReadSpeed({ path, size: bytes }, mode, options)).rejects.toBe(reason);
      expect(hostBufferBytes()).toBe(before);
    },
  );
});
