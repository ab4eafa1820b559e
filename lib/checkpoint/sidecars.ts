import { constants } from 'node:fs';
import { chmod, copyFile, lstat, open, readdir, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ioError } from '../errors.js';
import { isThere, lookAt } from '../files/look-at.js';
import { makeDirectory } from '../files/make-directory.js';
import { readTextFile } from '../files/read-whole.js';
import type { DTypeName } from '../native.js';
import type { Checkpoint, Config } from './checkpoint.js';
import { replaceInJson } from './json-text.js';
import { manifestName } from './manifest.js';
import { holdsNumbers, whyLeftBehind } from './other-weights.js';

/**
 * Files above this are not "small files beside the weights" and are left behind with a note. Tokenizers reach
 * some tens of megabytes.
 */
const maxSidecarBytes = 100 * 1024 * 1024;
const maxDepth = 3;
/** Files named one by one in a warning. */
const named = 12;

/** How the base was made. The output has its own: the model card, the manifest and, of merge files, their copy. */
const replaced = new Set(['README.md', manifestName, 'mergekit_config.yml']);

/** A file of the base directory that was not copied, and why. */
export interface SkippedFile {
  readonly file: string;
  readonly reason: string;
}

/**
 * Relative paths of the files that make a model usable besides its weights, and those left behind. Weights of other
 * modules (`2_Dense/model.safetensors`) are among the former where they are small; the same model in other formats is
 * not. Throws ERR_IO where one cannot be read.
 */
export async function listSidecars(base: Checkpoint): Promise<{ copied: string[]; skipped: SkippedFile[] }> {
  const copied: string[] = [];
  const skipped: SkippedFile[] = [];
  const root = base.directory;
  if (root === undefined) return { copied, skipped };
  const own = new Set([...base.files.map(({ path }) => path), base.index?.path]);
  const pipeline = await isThere(join(root, 'model_index.json'));

  const skipNumbers = (path: string, size: number): boolean => {
    let reason = whyLeftBehind(path, pipeline);
    if (reason === undefined && size > maxSidecarBytes) {
      reason = `larger than ${maxSidecarBytes} bytes and not part of what is merged: add it yourself if the model needs it`;
    }
    if (reason !== undefined && !isNoted(base, join(root, path))) skipped.push({ file: path, reason });
    return reason !== undefined;
  };
  const visit = async (relative: string, depth: number): Promise<void> => {
    for (const name of (await readdir(join(root, relative))).sort()) {
      const path = join(relative, name);
      if (name.startsWith('.') || own.has(join(root, path))) continue;
      const info = await lookAt(join(root, path));
      if (info?.isDirectory()) {
        // Beyond it may be this directory itself, or what was never part of the model.
        if ((await lstat(join(root, path))).isSymbolicLink()) {
          skipped.push({ file: path, reason: 'a link to a directory' });
        } else if (await isThere(join(root, path, manifestName))) {
          skipped.push({ file: path, reason: 'an output of wisemerge' });
        } else if (depth < maxDepth) {
          await visit(path, depth + 1);
        }
      } else if (!info?.isFile() || replaced.has(path)) {
        // Dangling links, sockets and the like; and what is written anew.
      } else if (name.endsWith('.py')) {
        skipped.push({ file: path, reason: 'code is not copied: add it yourself if you trust it' });
      } else if (holdsNumbers(path) && skipNumbers(path, info.size)) {
        // Named among the skipped, or by the checkpoint's own notes.
      } else if (info.size > maxSidecarBytes) {
        skipped.push({ file: path, reason: `larger than ${maxSidecarBytes} bytes` });
      } else {
        // Now, and not once all weights are written.
        await readable(join(root, path));
        copied.push(path);
      }
    }
  };
  try {
    await visit('', 1);
  } catch (error) {
    throw ioError(error, 'list', root);
  }
  return { copied, skipped };
}

/** Whether it was said when the checkpoint was opened that a file beside it is not read. */
function isNoted({ notes }: Checkpoint, path: string): boolean {
  return notes.some((note) => note.startsWith(`${path} `));
}

/** Says which of the copied files hold weights or other numbers that a merge did not touch. */
export function unmergedWarnings(copied: readonly string[]): string[] {
  const unmerged = copied.filter(holdsNumbers);
  if (unmerged.length === 0) return [];
  const more = unmerged.length > named ? ` and ${unmerged.length - named} more` : '';
  return [`copied as they are, not merged: ${unmerged.slice(0, named).join(', ')}${more}`];
}

/**
 * Copies the listed files into `directory`. `config.json` gets the output dtype if it changes, and JSON files the
 * `changes` that are given for them, by dotted path (`text_config.num_hidden_layers`).
 */
export async function copySidecars(
  base: Checkpoint,
  files: readonly string[],
  directory: string,
  dtype: DTypeName | undefined,
  changes: ReadonlyMap<string, Readonly<Record<string, unknown>>> = new Map(),
): Promise<void> {
  for (const file of files) {
    const from = join(base.directory!, file);
    const to = join(directory, file);
    const own = changes.get(file) ?? {};
    const config = file === 'config.json' ? base.config : undefined;
    try {
      await makeDirectory(dirname(to));
      if ((config && dtype) || Object.keys(own).length > 0) {
        const text = await replaceInJson(await readTextFile(from), own);
        await writeFile(to, config && dtype ? updateConfigDtype(text, config, dtype) : text);
      } else {
        await copyWritable(from, to);
      }
    } catch (error) {
      throw ioError(error, 'copy', from);
    }
  }
}

async function readable(path: string): Promise<void> {
  try {
    await (await open(path, 'r')).close();
  } catch (error) {
    throw ioError(error, 'read', path);
  }
}

/** Copies a file that the owner can then change: inputs may be read-only, and copies keep the mode. */
export async function copyWritable(from: string, to: string): Promise<void> {
  await copyFile(from, to);
  await chmod(to, (await stat(to)).mode | constants.S_IWUSR);
}

const torchNames: Partial<Record<DTypeName, string>> = {
  F64: 'float64',
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  F8_E4M3: 'float8_e4m3fn',
  F8_E5M2: 'float8_e5m2',
};

/** Torch's name of a float dtype: `bfloat16` for BF16. */
function torchDtypeName(dtype: DTypeName): string {
  return torchNames[dtype] ?? dtype.toLowerCase();
}

/**
 * Sets the dtype under the key the configuration already uses (`torch_dtype` is the older name of `dtype`),
 * and in nested text and vision configurations that state one. Works on the text: parsing and printing would
 * respell numbers (`1e-05`, `10000.0`), which readers with strict types tell apart, and reorder integer keys.
 */
function updateConfigDtype(text: string, config: Config, dtype: DTypeName): string {
  const name = torchDtypeName(dtype);
  const updated = text.replace(/("(?:torch_)?dtype"\s*:\s*)(?:"[^"\\]*"|null)/g, `$1"${name}"`);
  if ('dtype' in config || 'torch_dtype' in config) return updated;
  const alone = Object.keys(config).length === 0;
  return updated.replace(/\{(\s*)/, (_match, space: string) => {
    return `{${space}"dtype": "${name}"${alone ? '' : `,${space || ' '}`}`;
  });
}
