import { dirname, isAbsolute, resolve } from 'node:path';
import { z } from 'zod';
import { WisemergeError } from '../errors.js';
import type { MaxRule } from '../selection/rule.js';
import { formatRule, parseRule } from '../selection/rule.js';
import { readCheckedFile, setsFrom } from './sweep-file.js';
import {
  type ResolvedSweep,
  readSweepLists,
  resolveSweep,
  type SweepConfig,
  sweepSchema,
  wrongOptions,
} from './sweep-options.js';

const { head, activation, command, keep, sets, classNames, templates, threads } = sweepSchema.shape;
const text = z.string().min(1);

/** A soup as in a file. Paths in a file are relative to it. */
export const soupSchema = z.strictObject({
  models: z
    .array(text)
    .min(1)
    .describe('Checkpoints of one architecture. Configuration and tokenizer are taken from the first.'),
  head,
  heads: z
    .array(text)
    .optional()
    .describe(
      'For CLIP on images: a file with a head for each model; default: heads in the models, or prompts.',
    ),
  activation,
  command,
  keep,
  sets,
  classNames,
  templates,
  rule: text
    .default('max-mean')
    .describe('Score that must not get worse: max-mean, max-id, max-shift or max-worst.'),
  dtype: z
    .enum(['float32', 'float16', 'bfloat16'])
    .optional()
    .describe('Dtype of the soup; default: that of the models.'),
  threads,
});

/** What a soup file, or a caller of `soup`, says. */
export type SoupConfig = z.input<typeof soupSchema>;

export interface ResolvedSoup {
  readonly models: readonly string[];
  readonly heads?: readonly string[];
  readonly dtype?: 'float32' | 'float16' | 'bfloat16';
  readonly rule: MaxRule;
  /** The sets and how models are evaluated, in the terms of a sweep of the first model. */
  readonly evaluation: ResolvedSweep;
}

/** Checks a configuration. Throws ERR_SWEEP_FILE with every problem, ERR_USAGE for a rule that scores no model by itself. */
export async function resolveSoup(config: SoupConfig, { evaluated = false } = {}): Promise<ResolvedSoup> {
  const parsed = soupSchema.safeParse(config);
  if (!parsed.success) {
    throw wrongOptions(parsed.error.issues);
  }
  const { models, heads, dtype, rule: ruleText, ...shared } = parsed.data;
  const twice = models.find((model, i) => models.indexOf(model) !== i);
  if (twice !== undefined) {
    throw new WisemergeError('ERR_SWEEP_FILE', `${twice} is listed twice`, {
      hint: 'A model counts once in a soup: remove one of them.',
    });
  }
  if (heads && heads.length !== models.length) {
    throw new WisemergeError(
      'ERR_SWEEP_FILE',
      `there are ${heads.length} heads for ${models.length} models`,
      {
        hint: 'Give a head for each model, in their order.',
      },
    );
  }
  const rule = parseRule(ruleText);
  if (
    rule.kind === 'fixed' ||
    rule.kind === 'one-se' ||
    rule.kind === 'knee' ||
    ('idWithin' in rule && rule.idWithin !== undefined)
  ) {
    throw new WisemergeError('ERR_USAGE', `rule ${formatRule(rule)} does not score one model by itself`, {
      hint: 'Use max-mean, max-id, max-shift or max-worst.',
    });
  }
  const ends = { zeroshot: models[0]!, finetuned: models[0]! };
  const evaluation = resolveSweep(await readSweepLists({ ...shared, ...ends } as SweepConfig), {
    evaluated,
    // A soup has no alpha.
    placeholders: ['{model}'],
  });
  return { models, ...(heads && { heads }), ...(dtype && { dtype }), rule, evaluation };
}

/** Reads a soup file, YAML or JSON. Throws ERR_SWEEP_FILE naming line and column of every problem, ERR_IO. */
export async function readSoupFile(path: string): Promise<SoupConfig> {
  const config = await readCheckedFile(path, soupSchema);
  const directory = dirname(resolve(path));
  const from = (file: string) => (isAbsolute(file) ? file : resolve(directory, file));
  return {
    ...config,
    models: config.models.map(from),
    ...(config.heads && { heads: config.heads.map(from) }),
    ...(typeof config.classNames === 'string' && { classNames: from(config.classNames) }),
    ...(typeof config.templates === 'string' && { templates: from(config.templates) }),
    sets: setsFrom(config.sets, from),
  };
}
