import { open, readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { xxh3 } from '@node-rs/xxhash';
import { beginCall, checkNames, checkPath } from '../call-options.js';
import { exitCode, ioError, isError, WisemergeError } from '../errors.js';
import { closeFile } from '../files/close-file.js';
import { lookAt } from '../files/look-at.js';
import { hexDigest } from '../hex-digest.js';
import { openCheckpoint } from './checkpoint.js';
import { manifestName } from './manifest.js';
import { type ProgressListener, ProgressMeter } from './progress.js';
import type { AnyManifest } from './read-manifest.js';

/** What verification found in one output; JSON-serialisable. */
export interface VerifyResult {
  readonly directory: string;
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly ok: boolean }[];
  /** What is wrong; empty for an intact output. */
  readonly problems: readonly string[];
}

/**
 * Checks outputs of wisemerge: the structure of every weight file and index, size and XXH3 of each weight file
 * against the manifest, and whether the other files that it names are there. `path` is an output, or a directory of `alpha_…` outputs. Rejects with ERR_MANIFEST
 * where there is no manifest at all, ERR_USAGE, ERR_IO; damage is reported in `problems`.
 */
export async function verify(
  path: string,
  options: { signal?: AbortSignal; onProgress?: ProgressListener } = {},
): Promise<VerifyResult[]> {
  using _call = beginCall(options);
  checkNames(options, ['signal', 'onProgress']);
  checkPath(path, 'path');
  const { readManifest } = await import('./read-manifest.js');
  const directories = await findOutputs(resolve(path));
  const manifests = await Promise.all(directories.map(readManifest));
  const progress = new ProgressMeter(options.onProgress);
  progress.start(
    'check',
    manifests.reduce((sum, { files }) => files.reduce((bytes, file) => bytes + file.bytes, sum), 0),
  );
  const results: VerifyResult[] = [];
  for (const [i, directory] of directories.entries()) {
    results.push(await verifyOutput(directory, manifests[i]!, progress, options.signal));
  }
  return results;
}

async function findOutputs(root: string): Promise<string[]> {
  const entries = await readdir(root).catch((error) => {
    throw ioError(error, 'list', root);
  });
  if (entries.includes(manifestName)) return [root];
  const outputs: string[] = [];
  for (const name of entries.sort()) {
    const found = await lookAt(join(root, name, manifestName));
    if (found?.isFile()) outputs.push(join(root, name));
  }
  if (outputs.length > 0) return outputs;
  throw new WisemergeError('ERR_MANIFEST', `${root} holds no ${manifestName}`, {
    file: root,
    hint: 'verify checks outputs of wisemerge. For any other checkpoint use inspect.',
  });
}

async function verifyOutput(
  directory: string,
  manifest: AnyManifest,
  progress: ProgressMeter,
  signal?: AbortSignal,
): Promise<VerifyResult> {
  const problems: string[] = [];
  const files: { name: string; bytes: number; ok: boolean }[] = [];
  for (const { name, bytes, xxh3: expected } of manifest.files) {
    const actual = await hashFile(join(directory, name), progress, signal);
    let problem: string | undefined;
    if (isError(actual)) problem = actual.message;
    else if (actual.bytes !== bytes)
      problem = `${name} has ${actual.bytes} bytes; the manifest says ${bytes}`;
    else if (actual.xxh3 !== expected)
      problem = `${name} has XXH3 ${actual.xxh3}; the manifest says ${expected}`;
    if (problem) problems.push(problem);
    files.push({ name, bytes, ok: !problem });
  }
  const listed = new Set(files.map(({ name }) => name));
  const names = await readdir(directory).catch((error) => {
    throw ioError(error, 'list', directory);
  });
  for (const name of names) {
    if (name.endsWith('.safetensors') && !listed.has(name)) problems.push(`${name} is not in the manifest`);
  }
  problems.push(...(await missingCompanions(directory, manifest)));
  try {
    const { parameters, files: actual } = await openCheckpoint(
      modelPath(directory, manifest, names),
      signal ? { signal } : {},
    );
    if (parameters !== manifest.parameters) {
      problems.push(`the model has ${parameters} parameters; the manifest says ${manifest.parameters}`);
    }
    if (actual.length !== manifest.files.length) {
      problems.push(
        `the model has ${actual.length} weight files; the manifest lists ${manifest.files.length}`,
      );
    }
  } catch (error) {
    // Too little memory, say, is not the output's fault.
    if (!(error instanceof WisemergeError) || !isDamage(error)) throw error;
    problems.push(error.message);
  }
  return { directory, files, problems };
}

function isDamage(error: WisemergeError): boolean {
  return exitCode(error) === 3 || error.code === 'ERR_IO' || error.code === 'ERR_INPUT_CHANGED';
}

/** Texts may be edited, so their content is not held against them. */
async function missingCompanions(directory: string, { companions = [] }: AnyManifest): Promise<string[]> {
  const problems: string[] = [];
  for (const name of companions) {
    const there = await stat(join(directory, name)).catch(() => undefined);
    if (!there) problems.push(`${name} is missing`);
    else if (!there.isFile()) problems.push(`${name} is not a file`);
  }
  return problems;
}

/** A lone file may have any name, so it is opened by name; a model with an index, which is checked with it, by its directory. */
function modelPath(directory: string, { files }: AnyManifest, names: readonly string[]): string {
  const indexed = names.some((name) => name.endsWith('.safetensors.index.json'));
  return files.length === 1 && !indexed ? join(directory, files[0]!.name) : directory;
}

const chunkBytes = 4 * 2 ** 20;

async function hashFile(
  path: string,
  progress: ProgressMeter,
  signal?: AbortSignal,
): Promise<{ bytes: number; xxh3: string } | Error> {
  const handle = await open(path, 'r').catch((error) => ioError(error, 'open', path));
  if (isError(handle)) return handle;
  try {
    const hash = xxh3.Xxh3.withSeed();
    const chunk = Buffer.allocUnsafe(chunkBytes);
    let bytes = 0;
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await handle.read(chunk, 0, chunkBytes, bytes);
      if (bytesRead === 0) break;
      hash.update(chunk.subarray(0, bytesRead));
      bytes += bytesRead;
      progress.add(bytesRead);
    }
    return { bytes, xxh3: hexDigest(hash) };
  } catch (error) {
    const typed = ioError(error, 'read', path);
    // An abort is no damage.
    if (!(typed instanceof WisemergeError)) throw error;
    return typed;
  } finally {
    await closeFile(handle, path);
  }
}
