import fs, { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { checkOutputFile, writeWhole } from '../../lib/checkpoint/whole-file.js';
import { openCheckpoint } from '../../lib/index.js';
import { tempDir } from '../support/temp.js';

const metadata = { format: 'wisemerge test' };

const tensorOf = (value: number) => [
  { name: 'x', dtype: 'F32', shape: [1], data: new Uint8Array(Float32Array.of(value).buffer) } as const,
];

const makeOut = async () => {
  const root = await tempDir();
  return { root, out: join(root, 'head.safetensors') };
};

async function valueIn(out: string): Promise<number> {
  await using file = await openCheckpoint(out);
  return new Float32Array((await file.readTensor('x')).buffer)[0]!;
}

/** File systems without hard links: FAT, some of FUSE. */
function withoutLinks(code: string): void {
  const { link } = fs.promises;
  onTestFinished(() => {
    fs.promises.link = link;
    syncBuiltinESMExports();
  });
  fs.promises.link = async () => {
    throw Object.assign(new Error(`${code}: operation not permitted, link`), { code, syscall: 'link' });
  };
  syncBuiltinESMExports();
}

describe('a file that is written as a whole', () => {
  it('is there and nothing beside it; with force in the place of an earlier one', async () => {
    const { root, out } = await makeOut();
    await writeWhole(out, tensorOf(1), metadata);
    expect(await valueIn(out)).toBe(1);
    await checkOutputFile(out, { force: true });
    await writeWhole(out, tensorOf(2), metadata, { force: true });
    expect(await valueIn(out)).toBe(2);
    expect(readdirSync(root)).toEqual(['head.safetensors']);
  });

  it.each(['links', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'])(
    'never takes the place of what was saved there meanwhile, with force or without: %s',
    async (system) => {
      if (system !== 'links') withoutLinks(system);
      const { root, out } = await makeOut();
      await writeWhole(join(root, 'other.safetensors'), tensorOf(1), metadata);
      await checkOutputFile(out);
      writeFileSync(out, 'saved meanwhile');
      for (const [options, code] of [
        [{}, 'ERR_OUTPUT_EXISTS'],
        [{ force: true }, 'ERR_OUTPUT_NOT_OURS'],
      ] as const) {
        await expect(writeWhole(out, tensorOf(1), metadata, options)).rejects.toMatchObject({
          code,
          file: out,
        });
      }
      expect(readFileSync(out, 'utf8')).toBe('saved meanwhile');
      expect(readdirSync(root).sort()).toEqual(['head.safetensors', 'other.safetensors']);
    },
  );

  it('comes whole from one of several that write it at once, and the others say that it exists', async () => {
    const { root, out } = await makeOut();
    const results = await Promise.allSettled([1, 2, 3, 4].map((i) => writeWhole(out, tensorOf(i), metadata)));
    const won = results.findIndex(({ status }) => status === 'fulfilled');
    expect(await valueIn(out)).toBe(won + 1);
    for (const [i, result] of results.entries()) {
      if (i !== won) expect(result).toMatchObject({ reason: { code: 'ERR_OUTPUT_EXISTS', file: out } });
    }
    expect(readdirSync(root)).toEqual(['head.safetensors']);
  });

  it('comes whole from any of several that replace it at once', async () => {
    const { root, out } = await makeOut();
    await writeWhole(out, tensorOf(0), metadata);
    const force = { force: true };
    await Promise.all([1, 2, 3, 4].map((i) => writeWhole(out, tensorOf(i), metadata, force)));
    expect([1, 2, 3, 4]).toContain(await valueIn(out));
    expect(readdirSync(root)).toEqual(['head.safetensors']);
  });

  it('removes what killed runs had begun, and says so; what others are writing stays', async () => {
    const { root, out } = await makeOut();
    const begun = (name: string, owner: object) => {
      const directory = join(root, name);
      mkdirSync(directory);
      writeFileSync(join(directory, '.owner.json'), JSON.stringify({ host: hostname(), ...owner }));
      writeFileSync(join(directory, 'head.safetensors'), 'a part');
      return directory;
    };
    const dead = { pid: process.pid, started: 'before' };
    const left = begun('.head.safetensors.0123456789ab.wisemerge-tmp', dead);
    const others = [
      begun('.head.safetensors.ba9876543210.wisemerge-tmp', { pid: process.pid }),
      begun('.head.safetensors.wisemerge-tmp', dead),
      begun('.other.head.safetensors.0123456789ab.wisemerge-tmp', dead),
    ];
    expect(await writeWhole(out, tensorOf(1), metadata)).toEqual([
      `removed ${left}, left by a run that was killed`,
    ]);
    expect(await writeWhole(out, tensorOf(1), metadata, { force: true })).toEqual([]);
    expect(readdirSync(root).sort()).toEqual(
      [...others.map((path) => basename(path)), 'head.safetensors'].sort(),
    );
  });

  it('removes what was begun of a file with an asterisk in its name', async () => {
    const out = join(await tempDir(), 'a*b.safetensors');
    const left = join(dirname(out), '.a*b.safetensors.0123456789ab.wisemerge-tmp');
    mkdirSync(left);
    writeFileSync(
      join(left, '.owner.json'),
      JSON.stringify({ host: hostname(), pid: process.pid, started: 'before' }),
    );
    expect(await writeWhole(out, tensorOf(1), metadata)).toEqual([
      `removed ${left}, left by a run that was killed`,
    ]);
  });

  it('is refused before any work where a link leads nowhere', async () => {
    const { out } = await makeOut();
    symlinkSync('nowhere', out);
    for (const force of [true, false]) {
      await expect(checkOutputFile(out, { force })).rejects.toMatchObject({
        code: 'ERR_OUTPUT_EXISTS',
        file: out,
        message: expect.stringContaining('link'),
      });
    }
  });
});
