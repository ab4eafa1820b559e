import { join } from 'node:path';
import { ioError } from '../errors.js';
import { readTextFile } from '../files/read-whole.js';
import { manifestName, type OutputManifest } from './manifest.js';

/** The command that writes an output. */
export type OutputKind = 'merge' | 'finetune' | 'head' | 'extract-lora' | 'moe' | 'demo';

/** What its manifest says of an output; nothing where that is damaged. */
export interface OutputFacts {
  readonly kind?: OutputKind;
  /** What makes directories side by side one output: what is equal in all of them. Undefined: such an output stands alone. */
  readonly group?: string;
  /** Relative paths; undefined where the manifest, of an earlier version, does not name all of them. */
  readonly written?: ReadonlySet<string>;
}

type AnyOutput = OutputManifest & {
  readonly name?: string;
  readonly config?: string;
  readonly training?: { readonly identity?: unknown };
};

/** Reads what is known of the output in `directory`, which `name` is the name of. Throws ERR_IO. */
export async function readFacts(directory: string, name: string): Promise<OutputFacts> {
  const path = join(directory, manifestName);
  // One that cannot be read does not vouch for anything: what it names is about to be replaced.
  const text = await readTextFile(path).catch((error) => {
    throw ioError(error, 'read', path);
  });
  try {
    const manifest = JSON.parse(text) as AnyOutput;
    const { method, files, companions } = manifest;
    if (typeof method !== 'string') return {};
    const group = groupOf(manifest, name);
    return {
      kind: kindOf(method),
      ...(group !== undefined && { group }),
      ...(files &&
        companions && { written: new Set([manifestName, ...files.map((file) => file.name), ...companions]) }),
    };
  } catch {
    return {};
  }
}

/** Directories of one output by number: of epochs and of alphas. */
export const numbered = /^(epoch_|alpha_-?)\d/;

function kindOf(method: string): OutputKind {
  // A merge names its method, of which there are many.
  return (['finetune', 'head', 'extract-lora', 'moe'] as const).find((kind) => kind === method) ?? 'merge';
}

/** One call of a merge writes the same command to all of its directories; a run that was resumed has the same identity in all. */
function groupOf(
  { method, name: document, config, command, training }: AnyOutput,
  name: string,
): string | undefined {
  if (method === 'finetune') return numbered.test(name) ? JSON.stringify(training?.identity) : undefined;
  if (method === 'wise_ft') return numbered.test(name) ? command : undefined;
  if (config !== undefined) return document === undefined || document === name ? command : undefined;
  return undefined;
}
