import { execFileSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** Compiles lib/ to dist/ once per run, so that the tests of the command line spawn what the sources say. */
export default function setup(): void {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  // It remembers what it has written, not what somebody has removed since.
  if (!existsSync(`${root}/dist/cli/bin.js`)) rmSync(`${root}/dist`, { recursive: true, force: true });
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  execFileSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
}
