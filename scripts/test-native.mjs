// Builds the C++ tests with node-gyp, so that CMake is not needed, and runs them; arguments pick by name.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildAddon } from './build-addon.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

buildAddon(['-Dbuild_tests=1']);
const tests = join(root, 'build', 'Release', 'wisemerge_tests');
const { status, error } = spawnSync(tests, process.argv.slice(2), { stdio: 'inherit' });
if (error) console.error(error.message);
process.exit(status ?? 1);
