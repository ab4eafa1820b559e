import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ioError } from '../errors.js';
import { version } from '../version.js';
import type { OutputLayout } from './layout.js';
import { manifestName, type OutputManifest } from './manifest.js';
import { listFiles } from './own-files.js';

/** What the manifest of every output has of itself. */
type Added = 'wisemerge' | 'node' | 'companions';

/**
 * Writes what an output has beside its weights and copied files: the index where there are several files, texts by name, and
 * last the manifest. That names everything which lies there by now, so that whatever is added later is known not to be
 * wisemerge's. Throws ERR_IO, ERR_NO_SPACE.
 */
export async function finishOutput<T extends OutputManifest>(
  directory: string,
  { index }: Partial<Pick<OutputLayout, 'index'>>,
  texts: Readonly<Record<string, string>>,
  manifest: Omit<T, Added>,
): Promise<void> {
  if (index) await writeText(join(directory, index.name), index.text);
  for (const [name, text] of Object.entries(texts)) await writeText(join(directory, name), text);
  const weights = new Set((manifest as Omit<OutputManifest, Added>).files.map(({ name }) => name));
  const path = join(directory, manifestName);
  const written = await listFiles(directory).catch((error) => {
    throw ioError(error, 'list', directory);
  });
  const companions = written.filter((name) => !weights.has(name));
  const whole = { wisemerge: version, node: process.version, ...manifest, companions };
  await writeText(path, `${JSON.stringify(whole, null, 2)}\n`);
}

async function writeText(path: string, text: string): Promise<void> {
  await writeFile(path, text).catch((error) => {
    throw ioError(error, 'write', path);
  });
}
