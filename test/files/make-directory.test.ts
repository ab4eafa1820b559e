import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeDirectory } from '../../lib/files/make-directory.js';
import { failing } from '../support/failing-files.js';
import { tempDir } from '../support/temp.js';

describe('a directory', () => {
  it('is made with those above it, by several at once, and may be there', async () => {
    const path = join(await tempDir(), 'a', 'b', 'c');
    await Promise.all([makeDirectory(path), makeDirectory(path), makeDirectory(`${path}/d`)]);
    expect(existsSync(join(path, 'd'))).toBe(true);
    await makeDirectory(path);
  });

  it('that is a link to one is there', async () => {
    const root = await tempDir();
    mkdirSync(join(root, 'to'));
    symlinkSync('to', join(root, 'from'));
    await makeDirectory(join(root, 'from', 'a'));
    expect(existsSync(join(root, 'to', 'a'))).toBe(true);
  });

  it('that cannot be made is named, and why', async () => {
    const root = await tempDir();
    writeFileSync(join(root, 'file'), '');
    symlinkSync('nowhere', join(root, 'link'));
    for (const [name, at, reason] of [
      ['file', 'file', 'file already exists'],
      ['file/a', 'file/a', 'not a directory'],
      ['link/a', 'link', 'file already exists'],
    ] as const) {
      await expect(makeDirectory(join(root, name))).rejects.toMatchObject({
        code: 'ERR_IO',
        file: join(root, at),
        message: `cannot create ${join(root, at)}: ${reason}`,
      });
    }
    failing('mkdir', /\/a$/, 'EROFS');
    await expect(makeDirectory(join(root, 'a', 'b'))).rejects.toMatchObject({ file: join(root, 'a') });
  });

  it.runIf(process.platform === 'linux')(
    'is an error, and no endless work, where the system has none',
    async () => {
      await expect(makeDirectory('/proc/wisemerge/a/b')).rejects.toMatchObject({
        code: 'ERR_IO',
        message: 'cannot create /proc/wisemerge: no such file or directory',
      });
    },
  );
});
