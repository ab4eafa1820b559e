import { InvalidArgumentError } from 'commander';
import { WisemergeError } from '../errors.js';
import { parseAlphas } from '../merge/alpha.js';
import type { RecordedSet } from '../sweep/pick-records.js';
import type { SweepConfig } from '../sweep/sweep-options.js';

/** The flags of `sweep`; they replace what the sweep file says. */
export interface SweepFlags {
  readonly zeroshot?: string;
  readonly finetuned?: string;
  readonly head?: string;
  readonly set?: readonly SweepConfig['sets'][number][];
  readonly heads?: NonNullable<SweepConfig['heads']>;
  /** Files. */
  readonly classNames?: string;
  readonly templates?: string;
  readonly layerGroups?: number;
  readonly activation?: 'gelu' | 'relu';
  readonly command?: string[];
  readonly keep?: boolean;
  readonly alphas?: string;
  readonly search?: SweepConfig['search'];
  readonly tolerance?: number;
  readonly minGain?: number;
  readonly budget?: number;
  readonly concurrency?: number;
  readonly rule?: string;
  readonly references?: string;
  readonly folds?: number;
  readonly repeats?: number;
  readonly replicates?: number;
  readonly seed?: number;
  /** False with --no-divergence; commander sets it to true otherwise. */
  readonly divergence?: boolean;
  /** False with --no-metrics, likewise. */
  readonly metrics?: boolean;
  readonly device?: string;
  readonly precision?: NonNullable<SweepConfig['precision']>;
  readonly threads?: number;
  readonly memory?: number;
  readonly watch?: string;
  readonly until?: number;
  readonly out: string;
  readonly resume?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** Files of features, and members of them. */
const arrays = /\.(npy|npz|safetensors)(:.+)?$/is;

type SetConfig = SweepConfig['sets'][number];

/**
 * `name:role:kind=features,labels[,groups]`, as `val:select:id=val.npy,labels.npy`; `name:role:kind=images` for a directory of
 * images, `name:role:kind=images[,labels[,groups]]` for a table, where labels may be empty; `name:role:kind` alone where a command evaluates.
 * Collects repeated flags.
 */
export function parseSetFlag(text: string, earlier: readonly SetConfig[] = []): readonly SetConfig[] {
  const equals = text.indexOf('=');
  const [name, role, kind, ...more] = text.slice(0, equals < 0 ? text.length : equals).split(':');
  const paths = equals < 0 ? [] : text.slice(equals + 1).split(',');
  const [first, labels, groups, ...files] = paths;
  const roles = role === 'select' || role === 'report';
  // Of a command labels and groups alone can be known.
  const empty = equals >= 0 && paths.every((path) => path === '');
  const kinds = kind === 'id' || kind === 'shift';
  if (!name || !roles || !kinds || more.length > 0 || empty || files.length > 0) {
    throw new InvalidArgumentError(
      'Write NAME:ROLE:KIND=FEATURES,LABELS[,GROUPS] with ROLE select or report and KIND id or shift,' +
        ' such as val:select:id=val.npy,labels.npy; NAME:ROLE:KIND=IMAGES[,LABELS[,GROUPS]] for a table of' +
        ' images, IMAGES for a directory of them; for a --command NAME:ROLE:KIND will do.',
    );
  }
  // Images are a directory or a table: arrays are features, whose labels were forgotten.
  const features = arrays.test(first ?? '');
  if (features && !labels) {
    const written = `${text.slice(0, equals + 1)}${first}`;
    throw new InvalidArgumentError(`Set ${name} has features and no labels: write ${written},LABELS.`);
  }
  return [
    ...earlier,
    {
      ...{ name, role, kind },
      ...(first && (features ? { features: first } : { images: first })),
      ...(labels && { labels }),
      ...(groups && { groups }),
    },
  ];
}

/** Two paths. */
export function parseHeadsFlag(text: string): NonNullable<SweepConfig['heads']> {
  const [zeroshot, finetuned, ...more] = text.split(',');
  if (!zeroshot || !finetuned || more.length > 0) {
    throw new InvalidArgumentError('Write ZEROSHOT,FINETUNED: two checkpoints with a head.');
  }
  return { zeroshot, finetuned };
}

/** A command line, split at spaces. Throws where it is empty. */
export function parseCommandFlag(text: string): string[] {
  const parts = text.split(/\s+/).filter((part) => part !== '');
  if (parts.length === 0)
    throw new InvalidArgumentError("Write a command, such as 'python eval.py {model}'.");
  return parts;
}

/** `name:role:kind`, as `ImageNet:select:id`; the name may have colons of its own. Collects repeated flags. */
export function parseRecordedSet(text: string, earlier: readonly RecordedSet[] = []): readonly RecordedSet[] {
  const found = /^(.+):(select|report):(id|shift)$/.exec(text);
  if (!found) {
    throw new InvalidArgumentError(
      'Write NAME:ROLE:KIND with ROLE select or report and KIND id or shift, such as ImageNet:select:id.',
    );
  }
  const [, name, role, kind] = found as unknown as [string, string, RecordedSet['role'], RecordedSet['kind']];
  return [...earlier, { name, role, kind }];
}

/** Text that `resolveSweep` will read, checked while the flag is still known. */
export function parseAlphasFlag(text: string): string {
  parseAlphas(text, '--alphas');
  return text;
}

/**
 * The file, if one is given, with the flags on top. Throws ERR_USAGE where neither names the models and sets, or where
 * a fine-tuned model is named beside --watch.
 */
export async function toSweepConfig(file: string | undefined, flags: SweepFlags): Promise<SweepConfig> {
  const { json: _json, quiet: _quiet, out: _out, resume: _resume, force: _force, ...more } = flags;
  const { set, divergence, metrics, watch, until: _until, ...given } = more;
  const base = file === undefined ? {} : await (await import('../sweep/sweep-file.js')).readSweepFile(file);
  const config = {
    ...base,
    ...given,
    ...(set && { sets: [...set] }),
    // The flags' defaults must not undo what the file says.
    ...(divergence === false && { divergence }),
    ...(metrics === false && { metrics }),
  };
  if (watch !== undefined && 'finetuned' in config) {
    const where = 'finetuned' in given ? '--finetuned' : `finetuned in ${file}`;
    throw new WisemergeError(
      'ERR_USAGE',
      `${where} does not go with --watch: the fine-tuned models are the checkpoints of ${watch}`,
      { hint: `Leave ${where} out, or --watch.`, ...(!('finetuned' in given) && file && { file }) },
    );
  }
  const missing = (['zeroshot', 'finetuned', 'sets'] as const).filter(
    (key) => !(key in config) && !(key === 'finetuned' && watch !== undefined),
  );
  if (missing.length > 0) {
    const names = missing.map((key) => (key === 'sets' ? '--set' : `--${key}`));
    throw new WisemergeError('ERR_USAGE', `a sweep needs ${names.join(', ')}`, {
      hint: 'Give them as flags, or a sweep file that has them.',
    });
  }
  return config as SweepConfig;
}
