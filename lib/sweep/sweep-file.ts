import { readFile } from 'node:fs/promises';
import { dirname, isAbsolute, resolve } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { ioError, WisemergeError } from '../errors.js';
import { describeIssue, type SweepConfig, sweepFileSchema } from './sweep-options.js';

/** What a sweep file says: a configuration that may leave the fine-tuned model to the flags. */
export type SweepFile = z.input<typeof sweepFileSchema>;

/**
 * Reads a sweep file, YAML or JSON. Throws ERR_SWEEP_FILE naming line and column of every problem, ERR_IO.
 */
export async function readSweepFile(path: string): Promise<SweepFile> {
  return relativeTo(dirname(resolve(path)), await readCheckedFile(path, sweepFileSchema));
}

/** Reads a YAML or JSON file of what a schema describes. Throws as `readSweepFile`. */
export async function readCheckedFile<Schema extends z.ZodType>(
  path: string,
  schema: Schema,
): Promise<z.input<Schema>> {
  const source = await readFile(path, 'utf8').catch((error) => {
    throw ioError(error, 'read', path);
  });
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines });
  const failure = document.errors[0];
  if (failure) {
    throw new WisemergeError('ERR_SWEEP_FILE', `${path}: ${failure.message.trim()}`, { file: path });
  }
  const config: unknown = document.toJS();
  const parsed = schema.safeParse(config);
  if (!parsed.success) {
    const place = (keys: readonly PropertyKey[]): string => {
      for (let depth = keys.length; depth >= 0; depth--) {
        const node = document.getIn(keys.slice(0, depth), true) as {
          range?: [number, number, number];
        } | null;
        if (!node?.range) continue;
        const { line, col } = lines.linePos(node.range[0]);
        return `line ${line}, column ${col}: `;
      }
      return '';
    };
    const said = parsed.error.issues.map((issue) => `  ${place(issue.path)}${describeIssue(issue)}`);
    throw new WisemergeError('ERR_SWEEP_FILE', [path, ...said].join('\n'), {
      file: path,
      hint: 'The keys are described in docs/sweep.md.',
    });
  }
  return config as z.input<Schema>;
}

function relativeTo(directory: string, config: SweepFile): SweepFile {
  const from = (path: string) => (isAbsolute(path) ? path : resolve(directory, path));
  return {
    ...config,
    zeroshot: from(config.zeroshot),
    ...(config.finetuned !== undefined && { finetuned: from(config.finetuned) }),
    ...(config.heads && {
      heads: { zeroshot: from(config.heads.zeroshot), finetuned: from(config.heads.finetuned) },
    }),
    ...(typeof config.references === 'string' && { references: from(config.references) }),
    ...(typeof config.classNames === 'string' && { classNames: from(config.classNames) }),
    ...(typeof config.templates === 'string' && { templates: from(config.templates) }),
    sets: setsFrom(config.sets, from),
  };
}

/** The sets with their files as `from` gives them. */
export function setsFrom(sets: SweepConfig['sets'], from: (path: string) => string): SweepConfig['sets'] {
  return sets.map((item) => ({
    ...item,
    ...(item.features !== undefined && { features: from(item.features) }),
    ...(item.labels !== undefined && { labels: from(item.labels) }),
    ...(item.images !== undefined && { images: from(item.images) }),
    ...(item.groups !== undefined && { groups: from(item.groups) }),
    ...(item.text !== undefined && { text: from(item.text) }),
  }));
}
