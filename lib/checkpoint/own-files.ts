import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { WisemergeError } from '../errors.js';
import { ownerName } from './directory-lock.js';
import { manifestName } from './manifest.js';
import { numbered, type OutputFacts, type OutputKind, readFacts } from './output-kind.js';

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

/** What a run is about to replace. */
export interface Replacement {
  /** Of the run; default: any. */
  readonly kind?: OutputKind;
  /** Relative paths, of files and of outputs, that are known to be wisemerge's without a manifest beside them. */
  readonly own?: readonly string[];
}

/**
 * What lies in one output of wisemerge without being wisemerge's: relative paths. Undefined where nothing there is. One output is
 * a directory with a manifest, or what one call wrote side by side: the alphas of a merge, the documents of a merge file, the
 * epochs of a run. Manifests that do not say what was written beside the weights vouch for all of their directory.
 *
 * Throws ERR_OUTPUT_NOT_OURS where there are outputs that are not one, or another command's; ERR_IO.
 */
export async function findStrangers(
  target: string,
  { kind, own = [] }: Replacement = {},
): Promise<string[] | undefined> {
  const entries = (await readdir(target)).filter((name) => !leftover.test(name)).sort();
  if (entries.includes(manifestName)) {
    const facts = await readFacts(target, basename(target));
    checkKind(target, facts, kind);
    return await strangersIn(target, facts);
  }
  const outputs = entries.filter((name) => existsSync(join(target, name, manifestName)));
  if (outputs.length === 0 && own.length === 0) return undefined;
  const facts = new Map<string, OutputFacts>();
  for (const name of outputs) facts.set(name, await readFacts(join(target, name), name));
  const others = own.length > 0 ? outputs.filter((name) => !own.includes(name)) : notOfOneGroup(facts);
  if (others.length > 0) throw severalOutputs(target, others);
  if (own.length === 0) for (const one of facts.values()) checkKind(target, one, kind);
  const strangers = await filesBeside(target, new Set(own), new Set(outputs));
  for (const [name, known] of facts) {
    strangers.push(...(await strangersIn(join(target, name), known)).map((path) => join(name, path)));
  }
  return strangers;
}

/** All of them, unless they are one output. Of one whose manifest is damaged the number says where it belongs. */
function notOfOneGroup(facts: ReadonlyMap<string, OutputFacts>): string[] {
  const known = [...facts].filter(([name, { kind }]) => kind !== undefined || !numbered.test(name));
  const groups = new Set(known.map(([, { group }]) => group));
  return groups.size <= 1 && !groups.has(undefined) ? [] : [...facts.keys()];
}

function severalOutputs(target: string, outputs: readonly string[]): WisemergeError {
  const list = outputs.map((name) => `${name}/`).join(', ');
  return new WisemergeError(
    'ERR_OUTPUT_NOT_OURS',
    `${target} is not an output itself, but holds outputs of wisemerge: ${list}`,
    {
      file: target,
      hint: 'force (--force) replaces one output. Name a directory in it, or move these elsewhere first.',
      details: { outputs },
    },
  );
}

function checkKind(target: string, { kind: found }: OutputFacts, kind: OutputKind | undefined): void {
  if (kind === undefined || found === undefined || found === kind) return;
  throw new WisemergeError(
    'ERR_OUTPUT_NOT_OURS',
    `${target} was written by wisemerge ${found}, not by wisemerge ${kind}`,
    {
      file: target,
      hint: 'force (--force) replaces an earlier output of the same command. Remove the directory yourself, or give another output directory.',
      details: { kind: found },
    },
  );
}

async function strangersIn(output: string, { written }: OutputFacts): Promise<string[]> {
  return written ? await filesBeside(output, written) : [];
}

/**
 * What lies in a directory besides the files that are `written` and, unseen, what is in its `outputs`; directories of nothing
 * else by their name.
 */
async function filesBeside(
  directory: string,
  written: ReadonlySet<string>,
  outputs: ReadonlySet<string> = new Set(),
): Promise<string[]> {
  const visit = async (below: string): Promise<string[]> => {
    const found: string[] = [];
    for (const entry of await readdir(join(directory, below), { withFileTypes: true })) {
      const path = join(below, entry.name);
      if (leftover.test(entry.name) || outputs.has(path)) continue;
      if (!entry.isDirectory()) {
        if (!written.has(path)) found.push(path);
      } else if ([...written].some((file) => file.startsWith(`${path}/`))) {
        found.push(...(await visit(path)));
      } else if ((await listFiles(join(directory, path))).length > 0) {
        found.push(`${path}/`);
      }
    }
    return found.sort();
  };
  return await visit('');
}
