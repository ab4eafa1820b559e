import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readConfig } from '../../checkpoint/checkpoint.js';
import { replaceInJson } from '../../checkpoint/json-text.js';
import { ioError } from '../../errors.js';
import { chatTemplates } from './chat-templates.js';
import { readText } from './plan.js';

export interface ChosenTemplate {
  /** Undefined where the output keeps what it has. */
  readonly text?: string;
  readonly warnings: readonly string[];
}

/**
 * The chat template that a configuration asks for: a known one by name, Jinja as it is, or with `auto` what most of the
 * models have, the first of several. `tokens`: of the output, where they are known. Throws ERR_CONFIG, ERR_IO.
 */
export async function chooseChatTemplate(
  wanted: string | undefined,
  directories: readonly string[],
  tokens?: ReadonlyMap<string, number>,
): Promise<ChosenTemplate> {
  if (wanted === undefined) return { warnings: [] };
  if (wanted !== 'auto') {
    const known = chatTemplates[wanted];
    const missing = known?.tokens.filter((token) => tokens && !tokens.has(token)) ?? [];
    const warnings =
      missing.length > 0
        ? [
            `chat_template ${wanted}: the vocabulary has no token ${missing.join(', ')}, which is then cut into pieces`,
          ]
        : [];
    return { text: known?.jinja ?? wanted, warnings };
  }
  const votes = new Map<string, number>();
  for (const directory of directories) {
    const template = (await readChatTemplate(directory))?.trim();
    if (template) votes.set(template, (votes.get(template) ?? 0) + 1);
  }
  const most = Math.max(0, ...votes.values());
  const text = [...votes].find(([, count]) => count === most)?.[0];
  if (text === undefined) return { warnings: ['chat_template auto: no model has a chat template'] };
  const warnings =
    votes.size > 1 ? [`chat_template auto: the models have ${votes.size}; the one of ${most} is taken`] : [];
  return { text, warnings };
}

/** A model's template: of chat_template.jinja, or else of tokenizer_config.json. */
async function readChatTemplate(directory: string): Promise<string | undefined> {
  const alone = await readText(directory, 'chat_template.jinja');
  if (alone !== undefined) return alone;
  const template = (await readConfig(directory, 'tokenizer_config.json'))?.chat_template;
  if (typeof template === 'string') return template;
  // Several by name.
  if (!Array.isArray(template)) return undefined;
  const found = template.find((one) => (one as { name?: unknown } | null)?.name === 'default');
  return typeof found?.template === 'string' ? found.template : undefined;
}

/** Sets the template in every file of an output that has one, so that readers of any age agree. */
export async function writeChatTemplate(directory: string, template: string): Promise<void> {
  const config = await readText(directory, 'tokenizer_config.json');
  const alone = await readText(directory, 'chat_template.jinja');
  const processor = await readText(directory, 'chat_template.json');
  const write = async (name: string, text: string): Promise<void> => {
    await writeFile(join(directory, name), text).catch((error) => {
      throw ioError(error, 'write', join(directory, name));
    });
  };
  if (config !== undefined) {
    await write('tokenizer_config.json', await replaceInJson(config, { chat_template: template }));
  }
  if (alone !== undefined || config === undefined) await write('chat_template.jinja', template);
  if (processor !== undefined) {
    await write('chat_template.json', `${JSON.stringify({ chat_template: template }, null, 2)}\n`);
  }
}
