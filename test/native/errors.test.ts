import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { exitCode, ioError, WisemergeError } from '../../lib/errors.js';
import { fileError } from '../support/failing-files.js';

describe('WisemergeError', () => {
  it('carries its code and context, and prints as JSON', () => {
    const cause = new Error('below');
    const error = new WisemergeError('ERR_IO', 'cannot read', { tensor: 't', file: 'f', hint: 'h', cause });
    expect(error).toBeInstanceOf(Error);
    expect(error.name).toBe('WisemergeError');
    expect(error.cause).toBe(cause);
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      code: 'ERR_IO',
      message: 'cannot read',
      tensor: 't',
      file: 'f',
      hint: 'h',
    });
    expect('cause' in new WisemergeError('ERR_IO', 'plain')).toBe(false);
  });
});

describe('ioError', () => {
  it.each([
    ['EIO', 'ERR_IO', 'i/o error'],
    ['ENOSPC', 'ERR_NO_SPACE', 'i/o error'],
    ['EDQUOT', 'ERR_NO_SPACE', 'the disk quota is used up'],
    ['ESTALE', 'ERR_IO', 'stale file handle: the file was replaced, or its server restarted'],
  ] as const)('names the file and the reason: %s', (name, code, reason) => {
    expect(ioError(fileError(name, 'write', '/a'), 'write', '/a')).toMatchObject({
      code,
      file: '/a',
      message: `cannot write /a: ${reason}`,
      ...(code === 'ERR_NO_SPACE' && { hint: 'Free disk space, or write elsewhere.' }),
    });
  });
});

describe('exitCode', () => {
  it.each([
    [new WisemergeError('ERR_SAFETENSORS_JSON', ''), 3],
    [new WisemergeError('ERR_NO_SPACE', ''), 5],
    [new WisemergeError('ERR_DEVICE_UNAVAILABLE', ''), 6],
    [new WisemergeError('ERR_INTERNAL_RANGE', ''), 1],
    [new WisemergeError('ERR_ABORTED', ''), 130],
    [AbortSignal.abort().reason, 130],
    [Object.assign(new Error('ENOENT'), { code: 'ENOENT', syscall: 'open' }), 5],
    [new TypeError('bug'), 1],
    ['a string', 1],
  ])('of %s is %i', (error, code) => {
    expect(exitCode(error)).toBe(code);
  });
});

// A package without a binary: the compiled library where dist/ would be, and its loader.
it('a missing addon names the platform, the places and the command', async () => {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const folder = await mkdtemp(join(tmpdir(), 'wisemerge-loader-'));
  await mkdir(join(folder, 'dist', 'native'), { recursive: true });
  await writeFile(join(folder, 'package.json'), '{"name":"wisemerge","version":"0.0.0","type":"module"}');
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
  for (const name of ['native', 'native/addon', 'errors', 'on-abort', 'own-package']) {
    const source = await readFile(join(root, 'lib', `${name}.ts`), 'utf8');
    const { outputText } = ts.transpileModule(source, {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
    });
    await writeFile(join(folder, 'dist', `${name}.js`), outputText);
  }
  const code = `import('./dist/native.js').then(
    () => console.log('loaded'),
    (error) => console.log(JSON.stringify(error)))`;
  const { stdout } = spawnSync(process.execPath, ['-e', code], { cwd: folder, encoding: 'utf8' });
  const error = JSON.parse(stdout) as { code: string; message: string; hint: string };
  expect(error.code).toBe('ERR_ADDON_NOT_FOUND');
  for (const part of [
    process.platform,
    process.arch,
    'build/Release',
    'prebuilds',
    folder,
    'npm run build:addon',
  ]) {
    expect(error.message).toContain(part);
  }
  expect(error.hint).toBe('npm run build:addon');
  await rm(folder, { recursive: true });
});
