// Builds the C++ tests with node-gyp, so that CMake is not needed, and runs them on all CPUs; arguments pick by name.
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildAddon } from './build-addon.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

buildAddon(['-Dbuild_tests=1']);
const names = process.argv.slice(2);
// Of a few tests, a part could be none at all.
const parts = names.length > 0 ? 1 : availableParallelism();
const runs = Array.from({ length: parts }, (_, i) => run([...names, '--part', `${i + 1}/${parts}`]));
process.exit(Math.max(...(await Promise.all(runs))));

function run(args) {
  return new Promise((resolve) => {
    const child = spawn(join(root, 'build', 'Release', 'wisemerge_tests'), args);
    let output = '';
    child.stdout.on('data', (data) => (output += data));
    child.stderr.on('data', (data) => (output += data));
    child.on('error', ({ message }) => (output += `${message}\n`));
    child.on('close', (status, signal) => {
      if (signal) output += `the tests were ended by ${signal}, in the test after the last one above\n`;
      process.stdout.write(output);
      resolve(status ?? 1);
    });
  });
}
