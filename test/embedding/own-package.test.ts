import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { ownPackage } from '../../lib/own-package.js';
import { tempDir } from '../support/temp.js';

const root = join(import.meta.dirname, '..', '..');
const built = join(root, 'dist');

it('is found from its own files', async () => {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  expect(ownPackage).toEqual({ root, version });
});

it.each([
  ['an application', { name: 'app', version: '7.0.0' }],
  ['no package', undefined],
])('says how to bundle where its modules run in %s', async (_, manifest) => {
  const app = await tempDir();
  await mkdir(join(app, 'dist'));
  if (manifest) await writeFile(join(app, 'package.json'), JSON.stringify({ type: 'module', ...manifest }));
  for (const name of ['own-package', 'errors']) {
    const text = await readFile(join(built, `${name}.js`), 'utf8');
    await writeFile(join(app, 'dist', `${name}.mjs`), text.replace("'./errors.js'", "'./errors.mjs'"));
  }
  const error = await import(pathToFileURL(join(app, 'dist', 'own-package.mjs')).href).catch(
    (thrown) => thrown,
  );
  expect(error).toMatchObject({ code: 'ERR_ADDON_NOT_FOUND', hint: expect.stringContaining('external') });
  expect(error.message).toContain(join(app, 'dist'));
});

it('says what Node was started without where it loads no addon', async () => {
  const entry = JSON.stringify(pathToFileURL(join(built, 'index.js')).href);
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...['--no-addons', '--input-type=module', '-e'],
    `import(${entry}).catch((error) => console.log(JSON.stringify(error)))`,
  ]);
  const { code, message, hint } = JSON.parse(stdout);
  expect(code).toBe('ERR_ADDON_NOT_FOUND');
  expect(hint).toContain('--allow-addons');
  expect(message).not.toContain('build:addon');
});
