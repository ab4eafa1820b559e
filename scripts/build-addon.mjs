// Builds build/Release/wisemerge.node with node-gyp, in a clone or in an installed package. Arguments are passed on
// to gyp (-Dname=value).
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

// A Node install usually carries its headers; node-gyp would download them all the same.
function nodedir() {
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, 'include', 'node', 'common.gypi')) ? [`--nodedir=${prefix}`] : [];
}

// npm has a node-gyp of its own and tells scripts where: an installed package comes without.
function nodeGyp() {
  try {
    return createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js');
  } catch (error) {
    if (process.env.npm_config_node_gyp) return process.env.npm_config_node_gyp;
    throw new Error('there is no node-gyp: run this as npm run build:addon', { cause: error });
  }
}

/** Configures and builds; prints the compiler's output only if that fails, and else its warnings. */
export function buildAddon(gypArguments = []) {
  for (const step of [
    ['configure', ...nodedir(), '--', ...gypArguments],
    ['build', '-j', String(availableParallelism())],
  ]) {
    const result = spawnSync(process.execPath, [nodeGyp(), ...step], { cwd: root, encoding: 'utf8' });
    const output = `${result.stdout ?? ''}${result.stderr ?? ''}`;
    if (result.status === 0) {
      const warnings = output.split('\n').filter((line) => line.includes(' warning: '));
      for (const line of new Set(warnings)) process.stderr.write(`${line}\n`);
      continue;
    }
    process.stderr.write(output);
    process.stderr.write(`node-gyp ${step[0]} failed: it needs Python 3, make and a C++20 compiler\n`);
    process.exit(result.status ?? 1);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) buildAddon(process.argv.slice(2));
