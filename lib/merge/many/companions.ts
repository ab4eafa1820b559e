import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Checkpoint, readConfig } from '../../checkpoint/checkpoint.js';
import {
  copySidecars,
  copyWritable,
  listSidecars,
  type SkippedFile,
  unmergedWarnings,
} from '../../checkpoint/sidecars.js';
import { ioError } from '../../errors.js';
import type { OpenedMerge } from '../config/open.js';
import { chooseChatTemplate, writeChatTemplate } from '../tokenizer/chat-template.js';
import { tokenizerFiles, vocabularyChanges } from '../tokenizer/plan.js';
import { tokenizerFileNames } from '../tokenizer/tokenizer-file.js';
import type { PlanFileOptions } from './options.js';

/** The small files beside an output's weights, but for those that wisemerge writes of its own. */
export interface Companions {
  /** Copied from the donor, relative to its directory. */
  readonly copied: readonly string[];
  readonly skipped: readonly SkippedFile[];
  /** Changes by dotted path, to JSON files among the copied. */
  readonly changes: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
  /** Of a tokenizer that is not the donor's own, by name. */
  readonly texts: ReadonlyMap<string, string>;
  /** The same, as they are. */
  readonly files: readonly { readonly name: string; readonly from: string }[];
  readonly tokenizerNames: readonly string[];
  readonly chatTemplate?: string;
  readonly warnings: readonly string[];
}

/** What goes beside the weights of a document's output. Throws ERR_CONFIG, ERR_TOKENIZER, ERR_IO. */
export async function planCompanions(
  opened: OpenedMerge,
  models: readonly Checkpoint[],
  { copyTokenizer = true }: PlanFileOptions,
): Promise<Companions> {
  const { merge, vocabulary, tokenizers } = opened;
  const donor = models[merge.donor]!;
  const listed = await listSidecars(donor);
  const changes = new Map<string, Record<string, unknown>>([['config.json', { ...merge.configChanges }]]);
  let omitted = copyTokenizer ? [] : tokenizerFileNames;
  let texts: ReadonlyMap<string, string> = new Map();
  let files: { name: string; from: string }[] = [];
  if (vocabulary) {
    const { donorModel, donor: own } = vocabulary;
    const directory = donorModel === undefined ? own.directory : directoryOf(models[donorModel]!);
    const made = await tokenizerFiles(vocabulary, directory);
    const foreign = donorModel !== merge.donor;
    omitted = foreign ? tokenizerFileNames : [...made.stale, ...made.texts.keys()];
    texts = made.texts;
    files = foreign ? made.copies.map((name) => ({ name, from: join(directory, name) })) : [];
    for (const name of ['config.json', 'generation_config.json']) {
      const config = donor.directory === undefined ? undefined : await readConfig(donor.directory, name);
      if (!config) continue;
      const ids = vocabularyChanges(vocabulary, tokenizers![merge.donor]!, config);
      changes.set(name, { ...changes.get(name), ...ids });
    }
  }
  const chosen = await chooseChatTemplate(merge.chatTemplate, models.map(directoryOf), vocabulary?.tokens);
  return {
    copied: listed.copied.filter((name) => !omitted.includes(name)),
    skipped: listed.skipped,
    changes,
    texts,
    files,
    tokenizerNames: [...texts.keys(), ...files.map(({ name }) => name)],
    ...(chosen.text !== undefined && { chatTemplate: chosen.text }),
    warnings: [...chosen.warnings, ...unmergedWarnings(listed.copied)],
  };
}

function directoryOf({ directory, path }: Checkpoint): string {
  return directory ?? dirname(path);
}

/** Writes them to `directory`. Throws ERR_IO, ERR_NO_SPACE. */
export async function writeCompanions(
  { copied, changes, texts, files, chatTemplate }: Companions,
  { merge }: OpenedMerge,
  models: readonly Checkpoint[],
  directory: string,
): Promise<void> {
  await copySidecars(models[merge.donor]!, copied, directory, merge.outDtype ?? merge.dtype, changes);
  for (const [name, text] of texts) await attempt(join(directory, name), (path) => writeFile(path, text));
  for (const { name, from } of files) {
    await attempt(join(directory, name), (path) => copyWritable(from, path));
  }
  if (chatTemplate !== undefined) await writeChatTemplate(directory, chatTemplate);
}

async function attempt(path: string, write: (path: string) => Promise<void>): Promise<void> {
  await write(path).catch((error) => {
    throw ioError(error, 'write', path);
  });
}
