import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { exitCode, ioError, isError, WisemergeError } from '../../lib/errors.js';
import { writeModel } from '../support/models.js';
import { randomF32 } from '../support/random.js';
import { tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

const fixture = join(import.meta.dirname, 'fixtures', 'other-realm.mjs');

it('gives typed errors, and closes what it opened, in a context of its own, where those of Node and the addon are of another', async () => {
  const directory = await tempDir();
  await mkdir(join(directory, 'damaged'));
  await writeFile(join(directory, 'damaged', 'model.safetensors'), `${'\x08'}${'\0'.repeat(7)}{"a": 1}`);
  writeModel(join(directory, 'sound'), [tensor('w', 'F32', [2], randomF32(2, 1))]);
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...['--no-warnings', '--experimental-vm-modules'],
    ...[fixture, directory],
  ]);
  expect(JSON.parse(stdout)).toEqual({
    missing: 'ERR_IO',
    damaged: 'ERR_SAFETENSORS_JSON',
    merge: 'ERR_IO',
    mergeFile: 'ERR_IO',
    diff: 'ERR_IO',
    sweep: 'ERR_IO',
    forward: 'ERR_IO',
    makeZeroshotHead: 'ERR_IO',
  });
});

it('knows an error of another realm', () => {
  const foreign = runInNewContext(
    `Object.assign(new Error("ENOENT: no such file or directory, open 'x'"), { code: 'ENOENT', syscall: 'open' })`,
  );
  expect(foreign).not.toBeInstanceOf(Error);
  expect(isError(foreign)).toBe(true);
  expect(isError({ message: 'x' })).toBe(false);
  expect(exitCode(foreign)).toBe(5);
  expect(ioError(foreign, 'open', 'x')).toMatchObject({ code: 'ERR_IO', file: 'x' });
});

it('has the properties that are known, and no others', () => {
  expect(Object.keys(new WisemergeError('ERR_IO', 'no'))).toEqual(['name', 'code']);
  const error = new WisemergeError('ERR_IO', 'no', { file: 'x' });
  expect(Object.keys(error)).toEqual(['name', 'code', 'file']);
  expect(error.at({ hint: 'y' })).toMatchObject({ file: 'x', hint: 'y' });
});

it('types what Node refuses without permission', () => {
  const refused = Object.assign(new Error('Access to this API has been restricted'), {
    code: 'ERR_ACCESS_DENIED',
  });
  expect(ioError(refused, 'open', 'x')).toMatchObject({
    code: 'ERR_IO',
    message: 'cannot open x: Access to this API has been restricted',
  });
});
