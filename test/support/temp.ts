import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A fresh directory that is removed when the calling test ends. */
export async function tempDir(root: string = tmpdir()): Promise<string> {
  const directory = await mkdtemp(join(root, 'wisemerge-test-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}
