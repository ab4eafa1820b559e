import { existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { beginCall, checkNames, checkPath } from '../../call-options.js';
import { Checkpoint } from '../../checkpoint/checkpoint.js';
import { WisemergeError } from '../../errors.js';
import type { Vocabulary } from '../tokenizer/plan.js';
import { findTokenizerFile, parseTokenizer, type TokenizerFile } from '../tokenizer/tokenizer-file.js';
import type { MergeConfig } from './config.js';
import { configModels, configStatistics } from './documents.js';
import { localPath, type ModelReference } from './model-reference.js';
import { isOfModel, openModel } from './open-model.js';
import type { ModelHeaders } from './output-tensors.js';
import { Problems } from './problems.js';
import type { ReadOptions } from './read.js';
import { type OpenedModels, resolvedHeaders, resolveMerge } from './resolve.js';
import type { ResolvedMerge } from './resolved.js';
import { withVocabulary } from './vocabulary.js';

/** One document of a file, with the models that it names. */
export interface OpenedMerge {
  readonly config: MergeConfig;
  readonly merge: ResolvedMerge;
  /** In the order of `merge.models`; a document's result is no checkpoint yet. */
  readonly models: readonly (Checkpoint | ModelHeaders)[];
  readonly statistics: readonly (Checkpoint | ModelHeaders)[];
  /** Of the output, where the configuration asks for a tokenizer, and those of the models. */
  readonly vocabulary?: Vocabulary;
  readonly tokenizers?: readonly TokenizerFile[];
}

/** What a document leaves to those that name it. */
interface DocumentResult {
  readonly headers: ModelHeaders;
  readonly tokenizer: () => Promise<TokenizerFile | undefined>;
}

export interface OpenOptions extends ReadOptions {
  /** Where a client of the Hugging Face Hub keeps repositories. Default: as that client chooses. */
  readonly cache?: string;
  readonly signal?: AbortSignal;
}

/**
 * Reads a merge configuration, opens its models by their headers and resolves it, document by document.
 * Paths are relative to the working directory; repositories are looked for in the Hub's cache. Throws
 * WisemergeError: ERR_MERGE_FILE, ERR_INCOMPATIBLE, which has all models that cannot be opened, ERR_TOKENIZER, ERR_USAGE,
 * ERR_IO, ERR_OUT_OF_MEMORY.
 */
export async function openMergeFile(path: string, options: OpenOptions = {}): Promise<OpenedMerge[]> {
  using _call = beginCall(options);
  checkNames(options, ['cache', 'signal', 'exists']);
  checkPath(path, 'path');
  const { readMergeFile } = await import('./read.js');
  const { signal, cache, ...read } = options;
  if (cache !== undefined) checkPath(cache, 'cache');
  const results = new Map<string, DocumentResult>();
  const merges: OpenedMerge[] = [];
  for (const config of await readMergeFile(path, read)) {
    const opener = new Opener(config, results, cache, signal);
    const opened = await opener.open();
    merges.push(opened);
    if (config.name === undefined) continue;
    const { merge, models, vocabulary } = opened;
    results.set(config.name, {
      headers: resolvedHeaders(merge, models[merge.donor]!, config.name),
      tokenizer: vocabulary
        ? async () => outputTokenizer(vocabulary, config.name!)
        : () => opener.findTokenizer(merge.models[merge.donor]!),
    });
  }
  return merges;
}

/** The tokenizer that a vocabulary's files hold. */
function outputTokenizer({ changed, donor }: Vocabulary, name: string): TokenizerFile {
  return changed ? parseTokenizer(changed.json, name, `tokenizer.json of ${name}`) : donor;
}

class Opener {
  readonly #config: MergeConfig;
  readonly #results: ReadonlyMap<string, DocumentResult>;
  readonly #cache: string | undefined;
  readonly #signal: AbortSignal | undefined;

  constructor(
    config: MergeConfig,
    results: ReadonlyMap<string, DocumentResult>,
    cache: string | undefined,
    signal: AbortSignal | undefined,
  ) {
    this.#config = config;
    this.#results = results;
    this.#cache = cache;
    this.#signal = signal;
  }

  async open(): Promise<OpenedMerge> {
    const config = this.#config;
    const opened = await this.#models();
    const resolved = resolveMerge(config, opened);
    const merge = { ...resolved, warnings: [...resolved.warnings, ...this.#notes(resolved, opened)] };
    if (!merge.tokenizer) return { config, merge, ...opened };
    const planned = await withVocabulary(config, merge, {
      models: opened.models,
      findTokenizer: (reference) => this.findTokenizer(reference),
    });
    return { config, ...opened, ...planned };
  }

  async findTokenizer({ model, document }: ModelReference): Promise<TokenizerFile | undefined> {
    if (document) return await this.#results.get(model.path)!.tokenizer();
    const path = localPath(model, this.#cache);
    return await findTokenizerFile(
      statSync(path, { throwIfNoEntry: false })?.isFile() ? dirname(path) : path,
    );
  }

  async #models(): Promise<Required<OpenedModels>> {
    const problems = new Problems(this.#config.file);
    const open = async ({ model, document }: ModelReference): Promise<ModelHeaders | undefined> => {
      if (document) return this.#results.get(model.path)!.headers;
      try {
        return await openModel(model, { cache: this.#cache, signal: this.#signal });
      } catch (error) {
        if (!(error instanceof WisemergeError) || !isOfModel(error)) throw error;
        const fix = error.hint ?? 'Give another model, or save this one again.';
        problems.addModel(error.code, model.path, error.tensor, error.message, fix);
        return undefined;
      }
    };
    const models = await Promise.all(configModels(this.#config).map(open));
    const statistics = await Promise.all(configStatistics(this.#config).map(open));
    problems.throwIfAny();
    return { models: models as ModelHeaders[], statistics: statistics as ModelHeaders[] };
  }

  /** What was passed over in opening models. */
  #notes({ models: references }: ResolvedMerge, { models, statistics }: Required<OpenedModels>): string[] {
    const { file } = this.#config;
    const notes = [...models, ...statistics].flatMap((model) =>
      model instanceof Checkpoint ? model.notes : [],
    );
    for (const reference of references) {
      for (const { path, revision } of [reference.model, ...(reference.lora ? [reference.lora] : [])]) {
        if (revision === undefined || !existsSync(path)) continue;
        notes.push(`${file}: revision ${revision} of ${path} has no effect: it is a local path`);
      }
    }
    return notes;
  }
}
