import { existsSync } from 'node:fs';
import { type Checkpoint, openCheckpoint } from '../../checkpoint/checkpoint.js';
import { hubCache } from '../../checkpoint/hub-cache.js';
import { exitCode, WisemergeError } from '../../errors.js';
import { localPath, type RevisedPath } from './model-reference.js';

/** Opens a model that a configuration names. Throws ERR_IO where there is none, and what opening it throws. */
export async function openModel(
  { path, revision }: RevisedPath,
  { cache = hubCache(), signal }: { cache?: string | undefined; signal?: AbortSignal | undefined },
): Promise<Checkpoint> {
  const place = localPath({ path, ...(revision !== undefined && { revision }) }, cache);
  if (existsSync(place)) return await openCheckpoint(place, signal ? { signal } : {});
  const [name, flag] =
    revision === undefined ? [path, ''] : [`${path}@${revision}`, ` --revision ${revision}`];
  throw new WisemergeError(
    'ERR_IO',
    `cannot open ${name}: there is neither such a path nor such a repository in ${cache}`,
    {
      file: path,
      hint: `Give the directory of a model, or a repository that is in the cache: none is downloaded (hf download ${path}${flag} does).`,
    },
  );
}

/** Whether a model is at fault, or not there: another would do no good where the disk fails, or memory is short. */
export function isOfModel(error: WisemergeError): boolean {
  if (error.code !== 'ERR_IO') return exitCode(error) === 3;
  const { code } = (error.cause ?? { code: 'ENOENT' }) as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
}
