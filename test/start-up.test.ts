// What an import of the package loads: pipelines that merge should not wait for libraries that only some calls need.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');

/** Every URL that is resolved goes to stdout. */
const hooks = `
import { writeSync } from 'node:fs';
export async function resolve(specifier, context, next) {
  const found = await next(specifier, context);
  writeSync(1, found.url + '\\n');
  return found;
}`;

/** What is resolved while these modules are imported, with the arguments of a command line. */
function resolvedBy(modules: readonly string[], args: readonly string[] = []): string {
  const source = JSON.stringify(`data:text/javascript,${encodeURIComponent(hooks)}`);
  const script = [
    `import { register } from 'node:module';`,
    `register(${source});`,
    `process.argv.splice(1, Infinity, 'wisemerge', ...${JSON.stringify(args)});`,
    ...modules.map((path) => `await import('${pathToFileURL(join(root, 'dist', path))}');`),
  ].join('\n');
  return execFileSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' });
}

function packagesOf(...modules: string[]): string[] {
  const output = resolvedBy(modules);
  const names = [...output.matchAll(/\/node_modules\/((?:@[^/]+\/)?[^/]+)\//g)].map(([, name]) => name!);
  return [...new Set(names)].sort();
}

it('the package is imported without the libraries of formats and schemas', () => {
  // That of the addon's binary is seen by some versions of Node alone.
  const packages = packagesOf('index.js').filter((name) => name !== 'node-gyp-build');
  expect(packages).toEqual(['@node-rs/xxhash']);
});

it('a module that checks options brings its library, so that the former can fail', () => {
  expect(packagesOf('sweep/sweep-options.js')).toContain('zod');
});

it('the command line loads the flags of the command that is named, or of all for the help', () => {
  const flagsOf = (...args: string[]) => {
    const output = resolvedBy(['cli/bin.js'], args);
    return [
      ...new Set([...output.matchAll(/\/cli\/commands\/([\w-]+)\.js$/gm)].map(([, name]) => name)),
    ].sort();
  };
  expect(flagsOf('merge', '--help')).toEqual(['merge-flags']);
  expect(flagsOf('--help')).toHaveLength(15);
});
