// Imports point downwards only: the layers of docs/architecture.md, from its own table.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');
const lib = join(root, 'lib');

/** Directories of lib, from the top down. */
function layers(): string[] {
  const table = readFileSync(join(root, 'docs', 'architecture.md'), 'utf8');
  return [...table.matchAll(/^\| .*?`lib\/(\w+)\/`/gm)].map(([, name]) => name!);
}

const layerOf = (path: string): string | undefined => {
  const parts = relative(lib, path).split('/');
  return parts.length > 1 ? parts[0] : undefined;
};

it('every directory of lib is a layer', () => {
  const directories = readdirSync(lib, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(layers().sort()).toEqual(directories.map(({ name }) => name).sort());
});

it('no module imports from a layer above its own', () => {
  const order = layers();
  const upwards: string[] = [];
  let imports = 0;
  for (const name of readdirSync(lib, { recursive: true, encoding: 'utf8' })) {
    const own = layerOf(join(lib, name));
    if (!name.endsWith('.ts') || own === undefined) continue;
    for (const [, from] of readFileSync(join(lib, name), 'utf8').matchAll(
      /(?:from|import\() ?'(\.[^']*)'/g,
    )) {
      imports++;
      const other = layerOf(join(lib, dirname(name), from!));
      if (other !== undefined && order.indexOf(other) < order.indexOf(own)) upwards.push(`${name}: ${from}`);
    }
  }
  expect(imports).toBeGreaterThan(1000);
  expect(upwards).toEqual([]);
});
