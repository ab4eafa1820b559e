import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ownerName } from './directory-lock.js';
import { manifestName, type OutputManifest } from './manifest.js';

/** What a killed run left behind inside an output. */
const leftover = /^\..*\.wisemerge-(tmp|old)$/;

/** Names of a directory's entries that are wisemerge's own without a manifest. */
export type OwnEntries = (directory: string) => Promise<readonly string[]>;

/** Relative paths of all files below a directory but the mark of its owner. */
export async function listFiles(directory: string, below = ''): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await readdir(join(directory, below), { withFileTypes: true })) {
    const path = join(below, entry.name);
    if (entry.isDirectory()) files.push(...(await listFiles(directory, path)));
    else if (path !== ownerName) files.push(path);
  }
  return files.sort();
}

/**
 * What lies in an output of wisemerge, or a directory of several, without being wisemerge's: relative paths. Undefined where nothing
 * there is. `own`: entries without a manifest that are known to be wisemerge's all the same. Manifests that do not say what was
 * written beside the weights vouch for all of their directory. Throws ERR_IO.
 */
export async function findStrangers(
  target: string,
  own: readonly string[] = [],
): Promise<string[] | undefined> {
  const entries = (await readdir(target)).filter((name) => !leftover.test(name)).sort();
  if (entries.includes(manifestName)) return await strangersIn(target);
  const outputs = entries.filter((name) => existsSync(join(target, name, manifestName)));
  const known = new Set([...outputs, ...own]);
  if (known.size === 0) return undefined;
  const strangers = entries.filter((name) => !known.has(name));
  for (const name of outputs) {
    strangers.push(...(await strangersIn(join(target, name))).map((path) => join(name, path)));
  }
  return strangers;
}

async function strangersIn(output: string): Promise<string[]> {
  const written = await readWritten(output);
  if (!written) return [];
  const visit = async (below: string): Promise<string[]> => {
    const found: string[] = [];
    for (const entry of await readdir(join(output, below), { withFileTypes: true })) {
      const path = join(below, entry.name);
      if (leftover.test(entry.name) || written.has(path)) continue;
      if (!entry.isDirectory()) found.push(path);
      else if ([...written].some((file) => file.startsWith(`${path}/`))) found.push(...(await visit(path)));
      else if ((await listFiles(join(output, path))).length > 0) found.push(`${path}/`);
    }
    return found.sort();
  };
  return await visit('');
}

/** Relative paths; undefined where the manifest does not name all of them. */
async function readWritten(output: string): Promise<ReadonlySet<string> | undefined> {
  try {
    const text = await readFile(join(output, manifestName), 'utf8');
    const { files, companions } = JSON.parse(text) as Pick<OutputManifest, 'files' | 'companions'>;
    return new Set([manifestName, ...files.map(({ name }) => name), ...companions]);
  } catch {
    // Damaged, or of an earlier version.
    return undefined;
  }
}
