// Builds native/bench/NAME.cc into out/bench/NAME with the flags of binding.gyp, against the very library that is
// linked into the addon: what is measured is what ships.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const library = join(root, 'build', 'Release', 'wisemerge_core.a');
const flags = ['-std=c++20', '-O3', '-ffp-contract=off', '-fvisibility=hidden', '-Wall', '-Wextra'];

/** Gives the program's path; throws with the compiler's output. */
export function buildBench(name) {
  const source = join(root, 'native', 'bench', `${name}.cc`);
  const program = join(root, 'out', 'bench', name);
  if (!existsSync(library)) throw new Error(`${library} is missing; build it with: npm run build:addon`);
  if (
    existsSync(program) &&
    modified(program) > Math.max(modified(library), newest('native', ['.h', '.cc']))
  ) {
    return program;
  }
  mkdirSync(dirname(program), { recursive: true });
  const includes = ['-Inative/include', '-Inative'];
  const compiler = process.env.CXX ?? 'g++';
  const args = [...flags, ...includes, source, '-o', program, library, '-ldl', '-pthread'];
  const { status, stderr, error } = spawnSync(compiler, args, { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${compiler} could not build ${name}: ${error?.message ?? stderr}`);
  return program;
}

/** What was built before its sources were last changed: figures of it would be of another program. */
export function staleBuilds() {
  const stale = [];
  const native = ['core', 'cpu', 'include', 'addon'].map((directory) => newest(`native/${directory}`, ['']));
  if (modified(join(root, 'build', 'Release', 'wisemerge.node')) < Math.max(...native))
    stale.push('npm run build:addon');
  if (modified(join(root, 'dist', 'index.js')) < newest('lib', ['.ts'])) stale.push('npm run build:ts');
  return stale;
}

function newest(directory, extensions) {
  const path = join(root, directory);
  const names = readdirSync(path, { recursive: true }).filter((name) =>
    extensions.some((end) => name.endsWith(end)),
  );
  return Math.max(
    ...names.map((name) => join(path, name)).map((file) => (statSync(file).isFile() ? modified(file) : 0)),
  );
}

function modified(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
