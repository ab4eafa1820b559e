import { extname } from 'node:path';
import { ioError, WisemergeError } from '../errors.js';
import { readTextFile } from '../files/read-whole.js';

/** A line of a table of results. */
export interface ResultRecord {
  /** For messages: file and line. */
  readonly place: string;
  readonly values: Readonly<Record<string, unknown>>;
  /** Names of several columns. */
  readonly repeated?: ReadonlySet<string>;
}

/**
 * Reads results of models: `.jsonl`, one object per line (the `--results-db` of the WiSE-FT repository), or `.csv`
 * with names of columns. Throws ERR_IO, and ERR_DATA naming the line.
 */
export async function readRecords(path: string): Promise<ResultRecord[]> {
  const ending = extname(path).toLowerCase();
  if (ending !== '.jsonl' && ending !== '.csv') {
    throw new WisemergeError('ERR_DATA', `${path}: results of models are not read from this kind of file`, {
      file: path,
      hint: 'Save them as .jsonl or .csv.',
    });
  }
  const text = await readTextFile(path).catch((error) => {
    throw ioError(error, 'read', path);
  });
  return ending === '.csv' ? await fromCsv(text, path) : fromJsonLines(text, path);
}

/** The value under a name. Throws ERR_DATA where several columns have it: nobody can say which is meant. */
export function cellOf({ place, values, repeated }: ResultRecord, key: string): unknown {
  if (!repeated?.has(key)) return Object.hasOwn(values, key) ? values[key] : undefined;
  throw new WisemergeError('ERR_DATA', `${place}: there is more than one column "${key}"`, {
    hint: 'Save it again with distinct names.',
  });
}

/** The accuracy under `key`, or under `key:top1`; undefined where there is neither. Throws ERR_DATA. */
export function scoreOf(record: ResultRecord, key: string): number | undefined {
  const { place, values } = record;
  const found = Object.hasOwn(values, key) ? key : `${key}:top1`;
  const given = cellOf(record, found);
  if (given === undefined || given === '') return undefined;
  const score = typeof given === 'string' ? Number(given) : given;
  if (typeof score === 'number' && score >= 0 && score <= 1) return score;
  throw new WisemergeError(
    'ERR_DATA',
    `${place}: ${found} is ${JSON.stringify(given)}, not a share from 0 to 1`,
    {
      hint: 'Accuracies are fractions: write 83.5 % as 0.835.',
    },
  );
}

async function fromCsv(text: string, path: string): Promise<ResultRecord[]> {
  const { CsvError, parse } = await import('csv-parse/sync');
  try {
    let repeated = new Set<string>();
    const columns = (names: string[]) => {
      repeated = new Set(names.filter((name, i) => names.indexOf(name) !== i));
      return names;
    };
    const rows = parse(text, { bom: true, columns, trim: true, skip_empty_lines: true, info: true });
    return (rows as unknown as { record: Record<string, string>; info: { lines: number } }[]).map(
      ({ record, info }) => ({ place: `${path} line ${info.lines}`, values: record, repeated }),
    );
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new WisemergeError('ERR_DATA', `${path} is not a CSV file: ${error.message}`, {
      file: path,
      hint: 'Every line needs as many cells as the first; quote cells that hold commas.',
      cause: error,
    });
  }
}

function fromJsonLines(text: string, path: string): ResultRecord[] {
  return text.split('\n').flatMap((line, i) => {
    if (line.trim() === '') return [];
    const place = `${path} line ${i + 1}`;
    let values: unknown;
    try {
      values = JSON.parse(line);
    } catch {
      values = undefined;
    }
    if (typeof values === 'object' && values !== null && !Array.isArray(values))
      return [{ place, values: values as Record<string, unknown> }];
    throw new WisemergeError('ERR_DATA', `${place} is not a JSON object`, {
      file: path,
      hint: 'Each line holds one object, such as {"alpha": 0.5, "val:top1": 0.8}.',
    });
  });
}
