import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WisemergeError } from './errors.js';

/** This package as it is installed: its native addon, decoding threads and version are found from its directory. */
export const ownPackage: { readonly root: string; readonly version: string } = findPackage();

function findPackage(): { root: string; version: string } {
  // A bundler that writes CommonJS leaves no URL.
  const url = import.meta.url as string | undefined;
  const file = url?.startsWith('file:') ? fileURLToPath(url) : undefined;
  // One level above both lib/ and dist/.
  const root = file && dirname(dirname(file));
  const manifest = root && readManifest(join(root, 'package.json'));
  if (manifest && manifest.name === 'wisemerge') return { root, version: manifest.version };
  throw new WisemergeError(
    'ERR_ADDON_NOT_FOUND',
    `wisemerge runs in ${file ?? 'a bundle'}, away from its package and the native addon there: bundlers must leave it out`,
    {
      hint: "Declare it external (esbuild --external:wisemerge, external: ['wisemerge'] in rollup and rolldown, externals in webpack) and install it beside the bundle.",
    },
  );
}

function readManifest(path: string): { readonly name?: unknown; readonly version: string } | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}
