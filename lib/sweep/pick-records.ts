import { beginCall } from '../call-options.js';
import { WisemergeError } from '../errors.js';
import type { SetKind, SetRole } from '../eval/data/evaluation-set.js';
import { type Check, checkOptions, text } from '../merge/option-checks.js';
import { ownCopy } from '../own-copy.js';
import { parseRule } from '../selection/rule.js';
import { type Selection, select } from '../selection/rules.js';
import { cellOf, type ResultRecord, readRecords, scoreOf } from './records.js';

/** A column of results, and what it is for. */
export interface RecordedSet {
  /** A set, whose `name:top1` is read, or a whole key such as `IWildCamOOD:F1-macro_all`. */
  readonly name: string;
  readonly role: SetRole;
  readonly kind: SetKind;
}

export interface PickRecordsOptions {
  readonly sets: readonly RecordedSet[];
  /** Default: `max-mean`. */
  readonly rule?: string;
}

/** A choice from accuracies alone. */
export interface RecordsPick {
  readonly rule: string;
  /** Ascending. */
  readonly alphas: readonly number[];
  readonly sets: readonly (RecordedSet & { readonly accuracy: readonly number[] })[];
  readonly selection: Selection;
  /** What is missing without the outcomes of samples. */
  readonly note: string;
}

const roles: readonly string[] = ['select', 'report'] satisfies SetRole[];
const kinds: readonly string[] = ['id', 'shift'] satisfies SetKind[];

const isSet = (value: unknown): boolean => {
  const { name, role, kind } = (value ?? {}) as Record<string, unknown>;
  return text(name) === undefined && roles.includes(role as string) && kinds.includes(kind as string);
};

const checks: { readonly [Option in keyof PickRecordsOptions | 'path']: Check } = {
  path: text,
  sets: (value) =>
    Array.isArray(value) && value.every(isSet)
      ? undefined
      : "must be a list of { name, role, kind } with role 'select' or 'report' and kind 'id' or 'shift'",
  rule: text,
};

const note =
  'These are accuracies without samples: there is no interval, no cross-validation and no test of whether the choice lies inside the noise.';

/**
 * Chooses alpha from a table of results: `results.jsonl` in the form of the WiSE-FT repository (`--results-db`), or a
 * .csv with a column `alpha`. Lines whose alpha is not a number (the repository's training epochs) are passed over.
 * Rejects with ERR_DATA where an alpha occurs twice or a score is missing, ERR_USAGE, ERR_REPORT_SET, ERR_IO.
 */
export async function pickRecords(path: string, options: PickRecordsOptions): Promise<RecordsPick> {
  using _call = beginCall(options);
  checkOptions({ ...options, path }, checks, ['path', 'sets']);
  const { sets, rule = 'max-mean' } = ownCopy(options);
  const parsed = parseRule(rule);
  const records = new Map<number, ResultRecord>();
  for (const record of await readRecords(path)) {
    const alpha = alphaOf(record);
    if (alpha === undefined) continue;
    const earlier = records.get(alpha);
    if (earlier) {
      throw new WisemergeError('ERR_DATA', `alpha ${alpha} is in ${earlier.place} and in ${record.place}`, {
        file: path,
        hint: 'Keep the lines of one experiment.',
      });
    }
    records.set(alpha, record);
  }
  if (records.size === 0) {
    throw new WisemergeError('ERR_DATA', `${path} has no line with a number as alpha`, { file: path });
  }
  if (sets.length === 0) {
    throw new WisemergeError('ERR_USAGE', `no evaluation sets are given for the table ${path}`, {
      hint: `Give sets (--set NAME:ROLE:KIND, such as val:select:id) for some of: ${scored([...records.values()]).join(', ')}.`,
    });
  }
  const alphas = [...records.keys()].sort((a, b) => a - b);
  const curves = sets.map((set) => ({
    ...set,
    accuracy: alphas.map((alpha) => requireScore(records.get(alpha)!, set.name)),
  }));
  const selection = select(
    {
      alphas: Float64Array.from(alphas),
      sets: curves.map((set) => ({ ...set, accuracy: Float64Array.from(set.accuracy), samples: 0 })),
    },
    parsed,
  );
  return { rule: selection.rule, alphas, sets: curves, selection, note };
}

function alphaOf(record: ResultRecord): number | undefined {
  const alpha = cellOf(record, 'alpha');
  const value = typeof alpha === 'string' && alpha !== '' ? Number(alpha) : alpha;
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

function requireScore(record: ResultRecord, name: string): number {
  const score = scoreOf(record, name);
  if (score !== undefined) return score;
  throw new WisemergeError('ERR_DATA', `${record.place} has no accuracy on ${name}`, {
    hint: `It has: ${scored([record]).join(', ')}.`,
  });
}

/** Names of what looks like an accuracy, without `:top1`. */
function scored(records: readonly ResultRecord[]): string[] {
  const names = records.flatMap(({ values }) =>
    Object.keys(values).filter((key) => {
      const value = Number(values[key]);
      return key !== 'alpha' && (key.endsWith(':top1') || (!key.includes(':') && value >= 0 && value <= 1));
    }),
  );
  const sets = names.filter((name) => name.endsWith(':top1'));
  return [...new Set((sets.length > 0 ? sets : names).map((name) => name.replace(/:top1$/, '')))];
}
