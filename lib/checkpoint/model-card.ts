import { basename, join } from 'node:path';
import { readTextFile } from '../files/read-whole.js';
import type { Checkpoint } from './checkpoint.js';
import { hubName, publishedConfig } from './published-paths.js';

const frontMatter = /^---\r?\n([\s\S]*?)\r?\n---/;

/**
 * Front matter of the model card (`README.md`) beside a checkpoint; empty if there is none or it cannot be
 * read: a card informs and never stops a merge.
 */
async function readCard(checkpoint: Checkpoint): Promise<Record<string, unknown>> {
  if (checkpoint.directory === undefined) return {};
  try {
    const text = await readTextFile(join(checkpoint.directory, 'README.md'));
    const header = frontMatter.exec(text)?.[1];
    if (header === undefined) return {};
    // Loaded here: few merges have a card to read, and every start of the program would pay for the parser.
    const { parse } = await import('yaml');
    const card: unknown = parse(header);
    return typeof card === 'object' && card !== null ? (card as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** The model that a checkpoint was trained from, as its card says. A merge has none: it is made of models. */
export async function readParent(checkpoint: Checkpoint): Promise<string | undefined> {
  const { base_model: models, base_model_relation: relation } = await readCard(checkpoint);
  const [parent, ...others] = [models].flat().filter((model) => typeof model === 'string');
  return relation === 'merge' || others.length > 0 ? undefined : parent;
}

/** What the card of a merge says. */
export interface CardFacts {
  readonly zeroshot: Checkpoint;
  readonly finetuned: Checkpoint;
  readonly alpha: number;
  /** Tensors with an alpha of their own. */
  readonly tensorAlphas?: Readonly<Record<string, number>>;
  readonly dtype: string;
  /** The command that makes this model again, with published paths, as in all cards. */
  readonly command: string;
  readonly version: string;
}

/**
 * The model card of a merged model: front matter in the terms of the Hugging Face Hub (`base_model`,
 * `base_model_relation: merge`, tags) and a short account. Licence and languages are taken over from the
 * zero-shot model's card.
 */
export async function renderCard(facts: CardFacts): Promise<string> {
  const { zeroshot, finetuned, alpha, tensorAlphas, dtype, command, version } = facts;
  const own = Object.values(tensorAlphas ?? {});
  const [least, most] = [Math.min, Math.max].map((choose) => own.reduce((a, b) => choose(a, b), own[0]!));
  const ranged =
    own.length === 0
      ? String(alpha)
      : `${least} to ${most} by layer (\`tensorAlphas\` in wisemerge.json), ${alpha} elsewhere`;
  const names = [modelName(zeroshot), modelName(finetuned)];
  return `${await renderHeader(zeroshot, names, ['merge', 'wise-ft', 'wisemerge'])}
# ${names.join(' + ')}

Weight-space interpolation (WiSE-FT, [Wortsman et al., 2021](https://arxiv.org/abs/2109.01903)) of two models:

| | |
|---|---|
| zero-shot model | \`${names[0]}\` |
| fine-tuned model | \`${names[1]}\` |
| alpha | ${ranged} |
| formula | \`theta = theta0 + alpha * (theta1 - theta0)\`, one rounding to ${dtype} |

Made with wisemerge ${version}:

\`\`\`sh
${command}
\`\`\`
`;
}

/** What the card of a model made by a merge file says. */
export interface MergeCardFacts {
  readonly models: readonly Checkpoint[];
  /** Licence and languages come from it. */
  readonly donor: Checkpoint;
  readonly method: string;
  /** The merge file's text, as it was. */
  readonly config: string;
  readonly command: string;
  readonly version: string;
}

export async function renderMergeCard(facts: MergeCardFacts): Promise<string> {
  const { models, donor, method, config, command, version } = facts;
  const names = models.map(modelName);
  return `${await renderHeader(donor, names, ['merge', method, 'wisemerge'])}
# ${names.join(' + ')}

Merged in weight space by \`${method}\` with wisemerge ${version}:

\`\`\`sh
${command}
\`\`\`

\`\`\`yaml
${(await publishedConfig(config)).trimEnd()}
\`\`\`
`;
}

/** What the card of an extracted adapter says. */
export interface AdapterCardFacts {
  readonly base: Checkpoint;
  readonly finetuned: Checkpoint;
  /** The share of the difference's squares that it has, and what is left of the difference. */
  readonly energy: number;
  readonly relativeError: number;
  readonly command: string;
  readonly version: string;
}

export async function renderAdapterCard(facts: AdapterCardFacts): Promise<string> {
  const { base, finetuned, energy, relativeError, command, version } = facts;
  const names = [modelName(base), modelName(finetuned)];
  const relation = { base_model_relation: 'adapter', library_name: 'peft' };
  return `${await renderHeader(base, names.slice(0, 1), ['lora', 'wisemerge'], relation)}
# ${names[1]} as an adapter of ${names[0]}

A LoRA adapter of \`${names[0]}\`, extracted from its difference to \`${names[1]}\`. It captures ${(100 * energy).toFixed(2)} % of the
difference's squares over all weights; ${(100 * relativeError).toFixed(2)} % of its norm is left. \`wisemerge.json\` has the figures of each weight.

Made with wisemerge ${version}:

\`\`\`sh
${command}
\`\`\`
`;
}

/** What the card of a mixture of experts says. */
export interface MoeCardFacts {
  readonly models: readonly Checkpoint[];
  /** Licence and languages come from it. */
  readonly donor: Checkpoint;
  readonly experts: readonly string[];
  readonly shared: readonly string[];
  readonly expertsPerToken: number;
  readonly gateMode: string;
  readonly command: string;
  readonly version: string;
}

export async function renderMoeCard(facts: MoeCardFacts): Promise<string> {
  const { models, donor, experts, shared, expertsPerToken, gateMode, command, version } = facts;
  const names = models.map(modelName);
  const called = (path: string): string => basename(path);
  const listed = experts.map((path, i) => `| ${i} | \`${called(path)}\` |`);
  const always = shared.map((path) => `| every token | \`${called(path)}\` |`);
  return `${await renderHeader(donor, names, ['merge', 'moe', 'wisemerge'])}
# ${experts.length} experts on ${modelName(donor)}

A mixture of ${experts.length} experts, ${expertsPerToken} per token: the MLPs of the models below in the place of that of
\`${modelName(donor)}\`, with routers by \`${gateMode}\`.

| expert | model |
|---|---|
${[...listed, ...always].join('\n')}

Assembled with wisemerge ${version}:

\`\`\`sh
${command}
\`\`\`
`;
}

/** Front matter; JSON values are YAML values. */
async function renderHeader(
  donor: Checkpoint,
  names: readonly string[],
  tags: readonly string[],
  more: Readonly<Record<string, string>> = { base_model_relation: 'merge' },
): Promise<string> {
  const inherited = await readCard(donor);
  const kept = Object.fromEntries(
    ['license', 'license_name', 'license_link', 'language', 'pipeline_tag', 'library_name']
      .filter((key) => inherited[key] !== undefined)
      .map((key) => [key, inherited[key]]),
  );
  const header = {
    ...(donor.config?.architectures ? { library_name: 'transformers' } : {}),
    ...kept,
    base_model: names,
    ...more,
    tags,
  };
  const lines = Object.entries(header).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
  return `---\n${lines.join('\n')}\n---`;
}

/**
 * What to call a model: the Hub's name for a cache snapshot, else the name of its directory or file. Paths of the
 * machine stay out of cards, as they do in `publishedPath`.
 */
export function modelName(checkpoint: Checkpoint): string {
  const name = basename(checkpoint.directory ?? checkpoint.path);
  return hubName(checkpoint.path) ?? name.replace(/\.safetensors(\.index\.json)?$/, '');
}
