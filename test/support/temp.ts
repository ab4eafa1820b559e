import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A fresh directory that is removed when the calling test ends. */
export async function tempDir(root: string = tmpdir()): Promise<string> {
  const directory = await mkdtemp(join(root, 'wisemerge-test-'));
  // Retried: processes that a test has just told to stop may still be writing there.
  const options = { recursive: true, force: true, maxRetries: 10, retryDelay: 100 };
  onTestFinished(() => rm(directory, options));
  return directory;
}
