import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { ioError, WisemergeError } from '../errors.js';

/** A line of a table of results. */
export interface ResultRecord {
  /** For messages: file and line. */
  readonly place: string;
  readonly values: Readonly<Record<string, unknown>>;
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
  const text = await readFile(path, 'utf8').catch((error) => {
    throw ioError(error, 'read', path);
  });
  return ending === '.csv' ? await fromCsv(text, path) : fromJsonLines(text, path);
}

/** The accuracy under `key`, or under `key:top1`; undefined where there is neither. Throws ERR_DATA. */
export function scoreOf({ place, values }: ResultRecord, key: string): number | undefined {
  const found = Object.hasOwn(values, key) ? key : `${key}:top1`;
  if (!Object.hasOwn(values, found) || values[found] === '') return undefined;
  const given = values[found];
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
    const columns = (names: string[]) => checkColumns(names, path);
    const rows = parse(text, { bom: true, columns, trim: true, skip_empty_lines: true, info: true });
    return (rows as unknown as { record: Record<string, string>; info: { lines: number } }[]).map(
      ({ record, info }) => ({ place: `${path} line ${info.lines}`, values: record }),
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

/** Of two columns with one name nobody can say which is meant. */
function checkColumns(names: string[], path: string): string[] {
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice === undefined) return names;
  throw new WisemergeError('ERR_DATA', `${path} has more than one column "${twice}"`, {
    file: path,
    hint: 'Save it again with distinct names.',
  });
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
