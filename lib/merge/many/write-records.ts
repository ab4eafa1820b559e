import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describeInput, type MergeFileManifest } from '../../checkpoint/manifest.js';
import { renderMergeCard } from '../../checkpoint/model-card.js';
import { writeManifest } from '../../checkpoint/own-files.js';
import { publishedOptions } from '../../checkpoint/published-paths.js';
import { ioError } from '../../errors.js';
import { version } from '../../version.js';
import { type Flag, formatWords } from '../command.js';
import type { MergeFileOptions } from './options.js';
import type { PreparedDocument } from './plan-file.js';
import type { StreamedFiles } from './tensor-stream.js';

/** What an output calls its merge file, as mergekit does. */
export const mergeFileName = 'mergekit_config.yml';

/** What is known of the run besides its document. */
interface RunFacts {
  readonly options: MergeFileOptions;
  readonly device: string;
}

/** How an output was made: index, model card, the merge file itself; the manifest last. Throws ERR_IO, ERR_NO_SPACE. */
export async function writeRecords(
  { opened: { config, merge }, models, layout }: PreparedDocument,
  { files, nonFinite }: StreamedFiles,
  directory: string,
  { options, device }: RunFacts,
): Promise<void> {
  const command = formatMergeFileCommand(options);
  const manifest: Omit<MergeFileManifest, 'companions'> = {
    wisemerge: version,
    node: process.version,
    ...(config.name !== undefined && { name: config.name }),
    method: merge.method,
    dtype: merge.outDtype ?? merge.dtype ?? null,
    device,
    command,
    models: models.map((model, i) => describeInput(merge.models[i]!.model.path, model)),
    seed: options.seed ?? 0,
    ...(options.compat && { compat: options.compat }),
    config: config.text,
    parameters: layout.parameters,
    files,
    nonFinite: Object.fromEntries(nonFinite),
  };
  const texts: [string, string][] = layout.index ? [[layout.index.name, layout.index.text]] : [];
  if (options.modelCard ?? true) {
    const donor = models[merge.donor]!;
    const published = formatMergeFileCommand(publishedOptions(options));
    const facts = { models, donor, method: merge.method, config: config.text, command: published, version };
    texts.push(['README.md', await renderMergeCard(facts)]);
  }
  texts.push([mergeFileName, config.text]);
  for (const [name, content] of texts) {
    const path = join(directory, name);
    await writeFile(path, content).catch((error) => {
      throw ioError(error, 'write', path);
    });
  }
  await writeManifest(directory, manifest);
}

/** The command line that does what `options` say, quoted for a POSIX shell. */
export function formatMergeFileCommand(options: MergeFileOptions): string {
  const { config, out, seed, device, threads, memory, shardSize, compat, cache } = options;
  const { copyTokenizer = true, modelCard = true, force } = options;
  const flags: Flag[] = [
    ['random-seed', seed],
    ['device', device === 'auto' ? undefined : device],
    ['threads', threads],
    ['memory', memory],
    ['shard-size', shardSize],
    ['compat', compat],
    ['transformers-cache', cache],
    ['no-copy-tokenizer', !copyTokenizer],
    ['no-write-model-card', !modelCard],
    ['force', force],
  ];
  return formatWords('wisemerge merge', [config, out], flags);
}
