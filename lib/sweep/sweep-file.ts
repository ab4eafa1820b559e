import { dirname, isAbsolute, resolve } from 'node:path';
import { type Document, isMap, isScalar, LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { ioError, WisemergeError } from '../errors.js';
import { readTextFile } from '../files/read-whole.js';
import { parseTokens } from '../merge/config/yaml-depth.js';
import { parseRule } from '../selection/rule.js';
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
  const source = await readTextFile(path).catch((error) => {
    throw ioError(error, 'read', path);
  });
  refuseDeep(path, source);
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines });
  const failure = document.errors[0];
  if (failure?.code === 'MULTIPLE_DOCS') {
    throw new WisemergeError('ERR_SWEEP_FILE', `${path} holds more than one document`, {
      file: path,
      hint: 'Keep one document: remove the rest, or put it into a file of its own.',
    });
  }
  if (failure) {
    throw new WisemergeError('ERR_SWEEP_FILE', `${path}: ${failure.message.trim()}`, { file: path });
  }
  const config: unknown = document.toJS();
  const problems = schema.safeParse(config).error?.issues.flatMap(problemsOf) ?? ruleProblems(config);
  if (problems.length > 0) {
    const said = problems.map((problem) => `  ${placeOf(document, lines, problem)}${problem.text}`);
    throw new WisemergeError('ERR_SWEEP_FILE', [path, ...said].join('\n'), {
      file: path,
      hint: 'The keys are described in docs/sweep.md.',
    });
  }
  return config as z.input<Schema>;
}

/** The parser is recursive. Throws ERR_SWEEP_FILE. */
function refuseDeep(path: string, source: string): void {
  const lines = new LineCounter();
  const { deep } = parseTokens(source, lines.addNewLine);
  if (deep === undefined) return;
  throw new WisemergeError(
    'ERR_SWEEP_FILE',
    `${path}: the file is nested too deeply at line ${lines.linePos(deep).line}`,
    { file: path, hint: 'Write it out with less nesting.' },
  );
}

interface Problem {
  readonly keys: readonly PropertyKey[];
  /** Of the map there, where no value is to be shown. */
  readonly unknown?: string;
  readonly text: string;
}

/** Unknown keys are an issue of the map that has them; people look for the keys. */
function problemsOf(issue: z.core.$ZodIssue): Problem[] {
  const { path: keys } = issue;
  if (issue.code !== 'unrecognized_keys') return [{ keys, text: describeIssue(issue) }];
  return issue.keys.map((unknown) => ({
    keys,
    unknown,
    text: `${[...keys, unknown].join('.')}: unknown key`,
  }));
}

/** A rule is text to the schema: what is wrong in it has a place only here. */
function ruleProblems(config: unknown): Problem[] {
  const { rule } = (config ?? {}) as { readonly rule?: unknown };
  if (typeof rule !== 'string') return [];
  try {
    parseRule(rule);
    return [];
  } catch (error) {
    if (!(error instanceof WisemergeError)) throw error;
    return [{ keys: ['rule'], text: [error.message, error.hint].filter(Boolean).join(': ') }];
  }
}

/** Line and column of a value or an unknown key, or of the nearest map or list around it. */
function placeOf(document: Document, lines: LineCounter, { keys, unknown }: Problem): string {
  for (let depth = keys.length; depth >= 0; depth--) {
    const value = document.getIn(keys.slice(0, depth), true);
    const own = isMap(value)
      ? value.items.find(({ key }) => isScalar(key) && key.value === unknown)
      : undefined;
    const node = (own?.key ?? value) as { range?: [number, number, number] } | null;
    if (!node?.range) continue;
    const { line, col } = lines.linePos(node.range[0]);
    return `line ${line}, column ${col}: `;
  }
  return '';
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
