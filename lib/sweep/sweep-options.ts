import { readFile } from 'node:fs/promises';
import { dirname, isAbsolute, resolve } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { ioError, WisemergeError } from '../errors.js';
import { parseAlphas } from '../merge/alpha.js';
import { formatRule, parseRule } from './rule.js';

const text = z.string().min(1);
const count = z.int().min(1);

const set = z.strictObject({
  name: text.regex(/^[^\s/\\]+$/, 'a name has no spaces or slashes').describe('Of the set in every result.'),
  role: z
    .enum(['select', 'report'])
    .describe('`select`: alpha is chosen on it. `report`: it only tells how well that went.'),
  kind: z
    .enum(['id', 'shift'])
    .describe('`id`: the distribution that was fine-tuned on. `shift`: another one.'),
  features: text.describe('[N, D] in .npy, .npz or .safetensors, as `file` or `file:member`.'),
  labels: text.describe('[N] class indices or names, also in .csv, .jsonl, .parquet.'),
  groups: text.optional().describe('[N] group of each sample.'),
});

/** A sweep over the head of a classifier, as in a sweep file. Paths in a file are relative to it. */
export const sweepSchema = z.strictObject({
  zeroshot: text.describe('Checkpoints, as for `merge`.'),
  finetuned: text,
  head: text
    .optional()
    .describe("Name of the head's weight; default: the only one that looks like a classifier."),
  sets: z.array(set).min(1),
  classNames: z
    .array(z.string())
    .optional()
    .describe("Names of the classes in the head's order, for labels given as text."),
  alphas: z
    .union([text, z.array(z.number()).min(1)])
    .default('0:1:0.05')
    .describe('Where metrics are evaluated: a list, or text such as `0:1:0.05`. 0 and 1 are added.'),
  rule: text.default('max-mean').describe('How alpha is chosen.'),
  folds: z.int().min(2).max(255).default(5).describe('Of the cross-validation.'),
  repeats: count.max(1000).default(1),
  replicates: count.default(1000).describe('Bootstrap replicates.'),
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .default(0),
  device: z
    .string()
    .regex(/^(auto|cpu|cuda(:\d+)?)$/, 'a device is auto, cpu, cuda or cuda:N')
    .optional()
    .describe('`auto` (the CPU), `cpu`, `cuda` or `cuda:N`; default: `auto`. Results are the same.'),
  threads: count.optional().describe('CPU threads; default: all.'),
  memory: count.optional().describe('Bytes for logits and features.'),
});

/** What a sweep file, or a caller of `sweep`, says. */
export type SweepConfig = z.input<typeof sweepSchema>;
/** The same with defaults filled in; alphas ascend and include 0 and 1. */
export type ResolvedSweep = Omit<z.output<typeof sweepSchema>, 'alphas'> & { readonly alphas: number[] };

/** The JSON Schema of sweep files, draft 2020-12. */
export function sweepJsonSchema(): object {
  return { title: 'wisemerge sweep file', ...z.toJSONSchema(sweepSchema, { io: 'input' }) };
}

/** Checks a configuration. Throws ERR_SWEEP_FILE with every problem. */
export function resolveSweep(config: SweepConfig): ResolvedSweep {
  const parsed = sweepSchema.safeParse(config);
  if (!parsed.success) {
    throw new WisemergeError(
      'ERR_SWEEP_FILE',
      problems(parsed.error.issues, () => ''),
      {
        details: {
          issues: parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message })),
        },
      },
    );
  }
  const names = parsed.data.sets.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new WisemergeError('ERR_SWEEP_FILE', `two sets are named ${twice}`, {
      hint: 'Rename one of them.',
    });
  }
  const { alphas } = parsed.data;
  const list = typeof alphas === 'string' ? parseAlphas(alphas) : alphas;
  return {
    ...parsed.data,
    rule: formatRule(parseRule(parsed.data.rule)),
    // The ends are what every statistic compares with.
    alphas: [...new Set([0, 1, ...list])].sort((a, b) => a - b),
  };
}

/**
 * Reads a sweep file, YAML or JSON. Throws ERR_SWEEP_FILE naming line and column of every problem, ERR_IO.
 */
export async function readSweepFile(path: string): Promise<SweepConfig> {
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
  const parsed = sweepSchema.safeParse(config);
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
    throw new WisemergeError('ERR_SWEEP_FILE', `${path}\n${problems(parsed.error.issues, place)}`, {
      file: path,
      hint: 'The keys are described in docs/sweep.md.',
    });
  }
  return relativeTo(dirname(resolve(path)), config as SweepConfig);
}

function relativeTo(directory: string, config: SweepConfig): SweepConfig {
  const from = (path: string) => (isAbsolute(path) ? path : resolve(directory, path));
  return {
    ...config,
    zeroshot: from(config.zeroshot),
    finetuned: from(config.finetuned),
    sets: config.sets.map((item) => ({
      ...item,
      features: from(item.features),
      labels: from(item.labels),
      ...(item.groups !== undefined && { groups: from(item.groups) }),
    })),
  };
}

function problems(
  issues: readonly z.core.$ZodIssue[],
  place: (keys: readonly PropertyKey[]) => string,
): string {
  return issues
    .map((issue) => `  ${place(issue.path)}${issue.path.join('.') || 'the configuration'}: ${issue.message}`)
    .join('\n');
}
