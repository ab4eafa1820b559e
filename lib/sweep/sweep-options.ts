import { z } from 'zod';
import { parseByteSize } from '../byte-size.js';
import { WisemergeError } from '../errors.js';
import { activations } from '../eval/dense-network.js';
import { readNames } from '../eval/text/name-list.js';
import { parseAlphas } from '../merge/alpha.js';
import { maxThreads } from '../merge/option-checks.js';
import { precisions } from '../precision.js';
import { formatRule, parseRule } from '../selection/rule.js';
import { searchKinds } from '../selection/search.js';
import { maxRepeats, maxReplicates } from '../statistics/limits.js';
import { textSetFields } from './text-set-fields.js';
import { checkTextSets, hasText } from './text-sets.js';

const text = z.string().min(1);
const count = z.int().min(1);

/** As on the command line: `1GiB`, or a number of bytes. */
const size = z.union(
  [
    count,
    text.transform((written, context) => {
      try {
        return parseByteSize(written);
      } catch (error) {
        context.addIssue({ code: 'custom', message: (error as Error).message });
        return z.NEVER;
      }
    }),
  ],
  { error: 'must be bytes, from 1, or text such as 512MiB or 5GB' },
);

const set = z.strictObject({
  name: text
    .regex(/^[^\s/\\]+$/, 'a name has no spaces or slashes')
    .describe('Name of the set in all results.'),
  role: z
    .enum(['select', 'report'])
    .describe('`select`: alpha is chosen on it. `report`: it only measures how good the choice is.'),
  kind: z
    .enum(['id', 'shift'])
    .describe('`id`: the distribution of the fine-tuning data. `shift`: another one.'),
  features: text
    .optional()
    .describe('[N, D] in .npy, .npz or .safetensors, as `file` or `file:member`. Not with `command`.'),
  labels: text.optional().describe('[N] class indices or names, also in .csv, .jsonl, .parquet.'),
  images: text
    .optional()
    .describe(
      'For networks on images: a directory with one directory per class, or a table of paths and labels.',
    ),
  groups: text
    .optional()
    .describe('[N] group of each sample: samples of one group are resampled, split and compared together.'),
  ...textSetFields,
});

const reference = z.strictObject({
  name: text,
  scores: z.record(z.string(), z.number().min(0).max(1)).describe('Top-1 accuracy by set, from 0 to 1.'),
});

/** A sweep as in a sweep file. Paths in a file are relative to it. */
export const sweepSchema = z.strictObject({
  zeroshot: text.describe('Zero-shot model: a checkpoint, as for `merge`.'),
  finetuned: text.describe('Model fine-tuned from it. Not with `--watch`.'),
  head: text
    .optional()
    .describe("Name of the head's weight; default: the only one that looks like a classifier."),
  heads: z
    .strictObject({ zeroshot: text, finetuned: text })
    .optional()
    .describe(
      'For CLIP on images: files with linear heads on image embeddings; default: heads in the models themselves.',
    ),
  activation: z
    .enum(activations)
    .optional()
    .describe('MLP: activation between the layers; default: that of config.json, or gelu.'),
  command: z
    .array(text)
    .min(1)
    .optional()
    .describe(
      'Program that evaluates a model, and its arguments, in which `{model}` and `{alpha}` are replaced. See docs/sweep.md.',
    ),
  keep: z.boolean().default(false).describe('Keep the models that are written for `command`.'),
  sets: z.array(set).min(1),
  classNames: z
    .union([text, z.array(z.string())])
    .optional()
    .describe(
      'Class names in the order of the head, for labels given as text and for directories: a list, or a file.',
    ),
  templates: z
    .union([text, z.array(text).min(1)])
    .optional()
    .describe(
      'For CLIP on images: prompts with `{}` for the class name, from which the text tower builds the classifier at every alpha; a list, or a file. Needs `classNames`.',
    ),
  alphas: z
    .union([text, z.array(z.number()).min(1)], {
      error: 'must be a list of finite numbers, such as [0, 0.5, 1], or text such as "0:1:0.05"',
    })
    .default('0:1:0.05')
    .describe('Alphas to evaluate: a list, or text such as `0:1:0.05`. 0 and 1 are added.'),
  rule: text
    .default('max-mean')
    .describe(
      'How alpha is chosen: max-mean, max-id, max-shift, max-shift:id-within=0.01, max-worst, knee, fixed:0.5, one-se.',
    ),
  search: z
    .enum(searchKinds)
    .default('grid')
    .describe(
      'For whole models. `refine` and `golden` search around the best of `alphas`; `chebyshev` interpolates between a few (images); `layers` and `linear` look for an alpha for each layer (images and text). A head needs none: its curve is exact.',
    ),
  tolerance: z
    .number()
    .positive()
    .optional()
    .describe(
      'The search ends when the neighbours of the best alpha are this close; default: 0.01, by layer 0.05.',
    ),
  layerGroups: count
    .optional()
    .describe('For `search: layers` and `linear`: number of groups of blocks; default: one per block.'),
  minGain: z
    .number()
    .min(0)
    .default(0)
    .describe('The search ends when the best alpha leads its neighbours by less than this.'),
  budget: count.optional().describe('Largest number of models to evaluate; default: no limit.'),
  concurrency: count
    .max(256)
    .default(1)
    .describe('For a command or function: models that are evaluated at once.'),
  folds: z
    .int()
    .min(2)
    .max(255)
    .optional()
    .describe('Folds of the cross-validation; default: 5, or as many as a select set has groups or samples.'),
  repeats: count.max(maxRepeats).default(1).describe('Repetitions of the cross-validation.'),
  replicates: count.max(maxReplicates).default(1000).describe('Bootstrap replicates.'),
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .default(0)
    .describe('Seed of folds and replicates.'),
  metrics: z
    .boolean()
    .default(true)
    .describe('For a head. `false`: only the exact curve of accuracy, in less time.'),
  references: z
    .union([text, z.array(reference).min(1)])
    .optional()
    .describe(
      'Models trained on the ID distribution alone, for effective robustness: a .csv or .jsonl file with a column `name` and one per set, or a list.',
    ),
  divergence: z
    .boolean()
    .default(true)
    .describe('Measure how far apart the two checkpoints are, layer by layer. This reads both once.'),
  device: z
    .string()
    .regex(/^(auto|cpu|cuda(:\d+)?)$/, 'a device is auto, cpu, cuda or cuda:N')
    .optional()
    .describe(
      '`auto`, `cpu`, `cuda` or `cuda:N`; default: `auto`, for networks on images and text a GPU if one can be used, else the CPU. Results are the same.',
    ),
  precision: z
    .enum(precisions)
    .optional()
    .describe(
      'How a GPU computes matrix products. `exact` (default): the same bits on every device. `fast`: on tensor cores, within the bound of docs/numerics.md. `tf32`, for networks: by cuBLASLt where it is installed, with operands rounded to 11 bits.',
    ),
  threads: count.max(maxThreads).optional().describe('CPU threads; default: all.'),
  memory: size
    .optional()
    .describe(
      'Memory for the logits and features of a head, or for the models that a function reads: bytes, or text such as `1GiB`.',
    ),
});

/** The same in a file, which leaves `finetuned` out where checkpoints are watched or a flag gives it. */
export const sweepFileSchema = sweepSchema.partial({ finetuned: true });

/** What a caller of `sweep` says. */
export type SweepConfig = z.input<typeof sweepSchema>;
/** The same with defaults filled in; alphas ascend and include 0 and 1. */
export type ResolvedSweep = Omit<
  z.output<typeof sweepSchema>,
  'alphas' | 'tolerance' | 'classNames' | 'templates'
> & {
  readonly alphas: number[];
  readonly tolerance: number;
  readonly classNames?: readonly string[];
  readonly templates?: readonly string[];
};

/** The JSON Schema of sweep files, draft 2020-12. */
export function sweepJsonSchema(): object {
  return { title: 'wisemerge sweep file', ...z.toJSONSchema(sweepFileSchema, { io: 'input' }) };
}

/**
 * Checks a configuration. `evaluated`: models are evaluated by a function. `placeholders`: what a command has at least one of.
 * Throws ERR_SWEEP_FILE with every problem.
 */
export function resolveSweep(
  config: SweepConfig,
  { evaluated = false, placeholders = ['{model}', '{alpha}'] } = {},
): ResolvedSweep {
  const parsed = sweepSchema.safeParse(config);
  if (!parsed.success) {
    throw wrongOptions(parsed.error.issues);
  }
  const names = parsed.data.sets.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new WisemergeError('ERR_SWEEP_FILE', `two sets are named ${twice}`, {
      hint: 'Rename one of them.',
    });
  }
  const { alphas, command } = parsed.data;
  if (evaluated && command) {
    throw new WisemergeError(
      'ERR_SWEEP_FILE',
      'models are evaluated by a function or by a command, not both',
    );
  }
  if (command && !placeholders.some((name) => command.some((part) => part.includes(name)))) {
    throw new WisemergeError(
      'ERR_SWEEP_FILE',
      `the command has no ${placeholders.join(' and no ')}: it could not tell one model from another`,
      { hint: 'Write {model} where it takes the directory of a model, such as `python eval.py {model}`.' },
    );
  }
  const whole = evaluated || command !== undefined;
  checkTextSets(parsed.data, whole);
  if (!hasText(parsed.data.sets)) checkSources(parsed.data, whole);
  const list = typeof alphas === 'string' ? parseAlphas(alphas, 'alphas') : alphas;
  const { classNames, templates, heads, search, tolerance, layerGroups, ...rest } = parsed.data;
  const byLayer = search === 'layers' || search === 'linear';
  if (layerGroups !== undefined && !byLayer) {
    throw new WisemergeError('ERR_SWEEP_FILE', 'layerGroups is for search layers and linear', {
      hint: 'Leave it out, or search by layer.',
    });
  }
  const other = heads ? 'heads' : rest.head === undefined ? undefined : 'head';
  if (templates && (other || !classNames)) {
    throw new WisemergeError(
      'ERR_SWEEP_FILE',
      other ? `templates and ${other} both give a classifier` : 'templates need classNames to be filled with',
      { hint: other ? 'Give one of them.' : "Give classNames, in the order of the sets' labels." },
    );
  }
  return {
    ...rest,
    search,
    ...(heads && { heads }),
    ...(layerGroups !== undefined && { layerGroups }),
    ...(classNames && { classNames: listed(classNames) }),
    ...(templates && { templates: listed(templates) }),
    tolerance: tolerance ?? (byLayer ? 0.05 : 0.01),
    rule: formatRule(parseRule(parsed.data.rule)),
    // The ends are what every statistic compares with.
    alphas: [...new Set([0, 1, ...list])].sort((a, b) => a - b),
  };
}

/** Files of names are read before: `readSweepLists`. */
function listed(names: string | readonly string[]): readonly string[] {
  if (typeof names !== 'string') return names;
  throw new WisemergeError('ERR_INTERNAL', `${names} has not been read`);
}

/** The configuration with lists in the place of files of them. Throws as `readNames`. */
export async function readSweepLists(config: SweepConfig): Promise<SweepConfig> {
  const { classNames, templates } = config;
  return {
    ...config,
    ...(typeof classNames === 'string' && { classNames: await readNames(classNames, 'class names') }),
    ...(typeof templates === 'string' && { templates: await readNames(templates, 'templates') }),
  };
}

/**
 * A head is evaluated on features, a network on images; whatever evaluates models itself has its own samples.
 */
function checkSources({ sets }: z.output<typeof sweepSchema>, whole: boolean): void {
  const kinds = new Set(sets.map(({ images }) => (images === undefined ? 'features' : 'images')));
  if (kinds.size > 1) {
    throw new WisemergeError('ERR_SWEEP_FILE', 'some sets are of images and some of features', {
      hint: 'A sweep evaluates either whole networks or a head: make two sweeps.',
    });
  }
  for (const { name, features, labels, images } of sets) {
    const refuse = (why: string, hint: string) =>
      new WisemergeError('ERR_SWEEP_FILE', `set ${name} ${why}`, { hint });
    if (whole && (features ?? images) !== undefined) {
      throw refuse(
        `has ${images === undefined ? 'features' : 'images'}, but models are evaluated by a command or function`,
        `Leave out the ${images === undefined ? 'features' : 'images'}, or the command or function.`,
      );
    }
    if (images !== undefined && features !== undefined) {
      throw refuse('has features and images', 'Give one of them.');
    }
    if (whole || images !== undefined) continue;
    const missing = [features === undefined && 'features', labels === undefined && 'labels'].filter(Boolean);
    if (missing.length > 0) {
      throw refuse(
        `has no ${missing.join(' and no ')}`,
        'Give the files, or images, or a `command` that evaluates models.',
      );
    }
  }
}

/** ERR_SWEEP_FILE for a configuration that comes from a program or from flags. */
export function wrongOptions(issues: readonly z.core.$ZodIssue[]): WisemergeError {
  const said = issues.map(describeIssue);
  const message =
    said.length === 1
      ? said[0]!
      : `${said.length} options are wrong\n${said.map((one) => `  - ${one}`).join('\n')}`;
  return new WisemergeError('ERR_SWEEP_FILE', message, {
    hint: 'The options are described in docs/sweep.md.',
    details: { issues: issues.map((issue) => ({ path: issue.path.join('.'), message: issue.message })) },
  });
}

/** The option and what is wrong with it. */
export function describeIssue(issue: z.core.$ZodIssue): string {
  const where = issue.path.join('.') || 'the configuration';
  const number = 'origin' in issue && (issue.origin === 'number' || issue.origin === 'int');
  if (number && issue.code === 'too_small') {
    return `${where}: must be ${issue.inclusive === false ? 'more than' : 'at least'} ${issue.minimum}`;
  }
  if (number && issue.code === 'too_big') return `${where}: must be at most ${issue.maximum}`;
  return `${where}: ${issue.message}`;
}
