import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tempDir } from '../../../support/temp.js';

/** Writes one file to a fresh directory; gives its path. */
export async function write(name: string, content: string | Buffer): Promise<string> {
  const path = join(await tempDir(), name);
  writeFileSync(path, content);
  return path;
}
