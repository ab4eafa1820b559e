import { finishOutput } from '../../checkpoint/finish-output.js';
import { describeInput, type MergeFileManifest } from '../../checkpoint/manifest.js';
import { renderMergeCard } from '../../checkpoint/model-card.js';
import { publishedOptions } from '../../checkpoint/published-paths.js';
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
  const facts = { models, donor: models[merge.donor]!, method: merge.method, config: config.text, version };
  const published = formatMergeFileCommand(publishedOptions(options));
  const texts = {
    ...((options.modelCard ?? true) && {
      'README.md': await renderMergeCard({ ...facts, command: published }),
    }),
    [mergeFileName]: config.text,
  };
  await finishOutput<MergeFileManifest>(directory, layout, texts, {
    ...(config.name !== undefined && { name: config.name }),
    method: merge.method,
    dtype: merge.outDtype ?? merge.dtype ?? null,
    device,
    command: formatMergeFileCommand(options),
    models: models.map((model, i) => describeInput(merge.models[i]!.model.path, model)),
    seed: options.seed ?? 0,
    ...(options.compat && { compat: options.compat }),
    config: config.text,
    parameters: layout.parameters,
    files,
    nonFinite: Object.fromEntries(nonFinite),
  });
}

/** The command line that does what `options` say, quoted for a POSIX shell. */
function formatMergeFileCommand(options: MergeFileOptions): string {
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
