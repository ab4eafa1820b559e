import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The Hugging Face cache of this user: $HF_HUB_CACHE, $HF_HOME/hub, or ~/.cache/huggingface/hub. */
export function hubCache(): string {
  const { HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = process.env;
  if (HF_HUB_CACHE) return HF_HUB_CACHE;
  return join(HF_HOME ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'huggingface'), 'hub');
}

/**
 * The directory of a repository (`org/name`, or `name`) in a cache that a client of the Hub has filled; undefined if
 * it is not there. Nothing is downloaded.
 */
export function findInHubCache(
  repository: string,
  revision = 'main',
  cache: string = hubCache(),
): string | undefined {
  if (!/^[\w.-]+(\/[\w.-]+)?$/.test(repository) || !/^[\w.-]+(\/[\w.-]+)*$/.test(revision)) return undefined;
  if (`${repository}/${revision}`.split('/').some((part) => part === '..' || part === '.')) return undefined;
  const root = join(cache, `models--${repository.replace('/', '--')}`);
  const reference = join(root, 'refs', revision);
  const commit = existsSync(reference) ? readFileSync(reference, 'utf8').trim() : revision;
  if (!/^[0-9a-f]{40}$/.test(commit)) return undefined;
  const snapshot = join(root, 'snapshots', commit);
  return existsSync(snapshot) ? snapshot : undefined;
}
