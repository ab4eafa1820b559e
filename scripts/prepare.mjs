// Builds a clone when npm asks for it: after an installation, and before the package is packed. npx asks as well, since it
// links the package in whose directory it is called: then what is built already is run as it is.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const built = ['dist/cli/bin.js', 'build/Release/wisemerge.node'].every((file) =>
  existsSync(join(root, file)),
);

if (process.env.npm_command !== 'exec' || !built) {
  process.exit(spawnSync('npm run build', { cwd: root, stdio: 'inherit', shell: true }).status ?? 1);
}
