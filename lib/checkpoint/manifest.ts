import type { Checkpoint } from './checkpoint.js';

/** The manifest's name; its presence marks a directory as wisemerge's own. */
export const manifestName = 'wisemerge.json';

/** One input of a merge, as the manifest names it. */
export interface ManifestInput {
  /** As it was given. */
  readonly path: string;
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly headerXxh3: string }[];
}

/** `wisemerge.json`: how an output was made, and a checksum of each of its weight files. */
export interface OutputManifest {
  /** Version of wisemerge. */
  readonly wisemerge: string;
  readonly node: string;
  readonly method: string;
  /** Output dtype asked for; null keeps the base's or first model's. */
  readonly dtype: string | null;
  readonly device: string;
  /** The command that makes this output again. */
  readonly command: string;
  readonly parameters: number;
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly xxh3: string }[];
  /** Everything else that was written, by relative path, but for the manifest itself. */
  readonly companions: readonly string[];
  /** Tensors with NaN or infinite elements, and how many. */
  readonly nonFinite: Readonly<Record<string, number>>;
}

/** Of a model made from a zero-shot one by a formula. */
export interface DerivedManifest extends OutputManifest {
  readonly formula: string;
  readonly zeroshot: ManifestInput;
}

/** Of a merge of two models. */
export interface Manifest extends DerivedManifest {
  readonly alpha: number;
  /** Tensors with an alpha of their own. */
  readonly tensorAlphas?: Readonly<Record<string, number>>;
  readonly finetuned: ManifestInput;
}

/** Of a model made by a merge file. */
export interface MergeFileManifest extends OutputManifest {
  /** Of the document that made it, where it has one. */
  readonly name?: string;
  readonly models: readonly ManifestInput[];
  readonly seed: number;
  /** Whose arithmetic is reproduced, if another's is. */
  readonly compat?: 'mergekit';
  /** The merge file as it was. */
  readonly config: string;
}

/** Of a mixture of experts. */
export interface MoeManifest extends OutputManifest {
  readonly architecture: string;
  readonly gateMode: string;
  readonly models: readonly ManifestInput[];
  readonly seed: number;
}

/** An input's identity: sizes and header hashes tell one save from another without hashing the data. */
export function describeInput(path: string, { files }: Checkpoint): ManifestInput {
  return {
    path,
    files: files.map(({ name, size, headerHash }) => ({ name, bytes: size, headerXxh3: headerHash })),
  };
}
