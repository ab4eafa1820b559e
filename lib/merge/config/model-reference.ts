import { existsSync, realpathSync } from 'node:fs';
import { findInHubCache, hubCache } from '../../checkpoint/hub-cache.js';
import { ioError } from '../../errors.js';

/** A path or repository, and a revision of it. */
export interface RevisedPath {
  readonly path: string;
  readonly revision?: string;
}

/** One model as a configuration names it. */
export interface ModelReference {
  readonly model: RevisedPath;
  /** A PEFT adapter that is applied to it. */
  readonly lora?: RevisedPath;
  /** The architecture that the configuration claims; tensor names decide here. */
  readonly overrideArchitecture?: string;
  /** The path is the `name` of another document of the same file. */
  readonly document?: true;
}

/**
 * Reads `path[@revision][+lora[@revision]]`. A path that exists is taken whole, so that names with `@` and `+`
 * work; otherwise each may appear once per part. Gives the reason where it is not one.
 */
export function parseModelReference(
  text: string,
  exists: (path: string) => boolean = existsSync,
): ModelReference | string {
  if (text.trim() === '') return 'a model reference is empty';
  if (exists(text)) return { model: { path: text } };
  const parts = text.split('+');
  // A path with `+` in it, followed by an adapter.
  const last = parts.at(-1)!;
  const head = text.slice(0, -last.length - 1);
  if (parts.length > 2 && !exists(withoutRevision(head)) && !exists(head))
    return `"${text}" has more than one "+"`;
  const [model, lora] = parts.length === 1 ? [text, undefined] : [head, last];
  const base = revised(model, exists);
  if (typeof base === 'string') return base;
  if (lora === undefined) return { model: base };
  const adapter = revised(lora, exists);
  return typeof adapter === 'string' ? adapter : { model: base, lora: adapter };
}

function withoutRevision(text: string): string {
  const at = text.lastIndexOf('@');
  return at < 0 ? text : text.slice(0, at);
}

function revised(text: string, exists: (path: string) => boolean): RevisedPath | string {
  if (exists(text)) return { path: text };
  const at = text.lastIndexOf('@');
  const path = at < 0 ? text : text.slice(0, at);
  const revision = at < 0 ? undefined : text.slice(at + 1);
  if (path === '' || revision === '') return `"${text}" lacks a path or a revision`;
  if (path.includes('@') && !exists(path)) return `"${text}" has more than one "@"`;
  return revision === undefined ? { path } : { path, revision };
}

/** The short form, for messages and for telling references apart. */
export function formatModelReference({ model, lora }: ModelReference): string {
  const one = ({ path, revision }: RevisedPath): string =>
    revision === undefined ? path : `${path}@${revision}`;
  return lora ? `${one(model)}+${one(lora)}` : one(model);
}

/** Of each reference once: every tensor asks, and paths are looked up on disk. */
const keys = new WeakMap<ModelReference, string>();

/**
 * Equal for references to the same thing: a path that exists counts as where it leads. The parts are kept apart: paths may
 * contain `@` and `+`.
 */
export function modelKey(reference: ModelReference): string {
  let key = keys.get(reference);
  if (key === undefined) {
    const { model, lora, document } = reference;
    key = JSON.stringify([document ? ['document', model.path] : pathKey(model), lora && pathKey(lora)]);
    keys.set(reference, key);
  }
  return key;
}

/** A local path has no revisions. Throws ERR_IO. */
function pathKey({ path, revision }: RevisedPath): readonly (string | undefined)[] {
  if (!existsSync(path)) return [path, revision];
  try {
    return [realpathSync(path)];
  } catch (error) {
    throw ioError(error, 'look for', path);
  }
}

/** Where a model lies: its path, or else a repository's snapshot in the Hub's cache. */
export function localPath({ path, revision }: RevisedPath, cache?: string): string {
  if (existsSync(path)) return path;
  return findInHubCache(path, revision, cache ?? hubCache()) ?? path;
}
