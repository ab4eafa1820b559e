import { WisemergeError } from '../../errors.js';
import { type Cell, type Column, readColumn } from './column.js';

/** What labels are checked and mapped with. */
export interface LabelOptions {
  /** Classes of the head: labels are 0 to `classes - 1`. Default: as many as there are class names. */
  readonly classes?: number;
  /** Names of the classes in the head's order, for labels given as text. */
  readonly classNames?: readonly string[];
}

const maxLabel = 2 ** 31 - 1;
const wholeNumber = /^[+-]?\d{1,15}(\.0*)?$/;

/** Why a label is refused. */
interface Refusal {
  readonly code: 'ERR_DATA' | 'ERR_DATA_MISMATCH';
  readonly why: string;
  readonly hint: string;
}

/**
 * Class indices [N], one per row, from `file` or `file:column` (see `readColumn`). Text is a class name if
 * `classNames` are given, and otherwise must be a whole number.
 *
 * Throws ERR_IO, ERR_DATA and ERR_SAFETENSORS_*, or ERR_DATA_MISMATCH for a label outside the head's classes.
 * The message names the first row at fault and counts the others.
 */
export async function readLabels(source: string, options: LabelOptions = {}): Promise<Int32Array> {
  const column = await readColumn(source, 'labels');
  const { values } = column;
  const toLabel = labelReader(options);
  const labels = new Int32Array(values.length);
  let first: { readonly row: number; readonly refusal: Refusal } | undefined;
  let refused = 0;
  for (let i = 0; i < values.length; i++) {
    const label = toLabel(values[i]);
    if (typeof label === 'number') labels[i] = label;
    else {
      first ??= { row: i, refusal: label };
      refused++;
    }
  }
  if (first) throw refusal(column, first.row, first.refusal, refused);
  return labels;
}

function refusal(column: Column, row: number, { code, why, hint }: Refusal, count: number): WisemergeError {
  const others = count > 1 ? `, and ${count - 1} more ${count === 2 ? 'row' : 'rows'}` : '';
  return new WisemergeError(code, `${column.place(row)}: ${why}${others}`, {
    file: column.file,
    hint,
    details: { row, refused: count },
  });
}

function labelReader({ classes, classNames }: LabelOptions): (value: Cell) => number | Refusal {
  const count = classes ?? classNames?.length;
  const byName = classNames && indexNames(classNames);
  // Where classes have numbers for names ("7"), text is a name; else a number in a text file is an index.
  const numbersAreNames = classNames?.some((name) => wholeNumber.test(name)) ?? false;
  const outside = (label: number | bigint): Refusal => outsideOf(label, count, classes !== undefined);
  const toIndex = (value: number): number | Refusal => {
    if (!Number.isInteger(value)) return notWhole(value);
    if (value < 0) return negative(value);
    return value < (count ?? maxLabel + 1) ? value : outside(value);
  };
  return (value) => {
    if (typeof value === 'number') return toIndex(value);
    if (typeof value === 'bigint') return value < 0n ? negative(value) : outside(value);
    if (value === undefined || value === '') return missing;
    if (wholeNumber.test(value) && !numbersAreNames) return toIndex(Number(value));
    const index = byName?.get(value);
    if (index === undefined) return byName ? unknownName(value) : textLabel(value);
    return typeof index === 'number' ? toIndex(index) : sharedName(value, index);
  };
}

/** The index of each name; two indices for a name that two classes share, as "crane" in ImageNet. */
function indexNames(names: readonly string[]): Map<string, number | readonly [number, number]> {
  const index = new Map<string, number | readonly [number, number]>();
  for (const [i, name] of names.entries()) {
    const earlier = index.get(name);
    index.set(name, earlier === undefined ? i : [typeof earlier === 'number' ? earlier : earlier[0], i]);
  }
  return index;
}

const missing: Refusal = {
  code: 'ERR_DATA',
  why: 'the label is missing, or neither a number nor text',
  hint: 'Give every row a class index, or leave the row out of features and labels.',
};

function outsideOf(label: number | bigint, count: number | undefined, ofHead: boolean): Refusal {
  const classes = count === 1 ? 'class' : 'classes';
  return {
    code: 'ERR_DATA_MISMATCH',
    why:
      count === undefined
        ? `label ${label} is too large for a class index`
        : `label ${label} is outside 0..${count - 1} (${ofHead ? `the head has ${count} ${classes}` : `${count} class names were given`})`,
    hint: "Number the classes as the head's rows are, from 0.",
  };
}

const negative = (label: number | bigint): Refusal => ({
  code: 'ERR_DATA',
  why: `label ${label} is negative`,
  hint: 'Leave rows without a class out of features and labels.',
});

const notWhole = (value: number): Refusal => ({
  code: 'ERR_DATA',
  why: `label ${value} is not a whole number`,
  hint: 'Labels are class indices: check that this is the column of labels.',
});

const textLabel = (value: string): Refusal => ({
  code: 'ERR_DATA',
  why: `label ${JSON.stringify(value)} is text, and no class names were given`,
  hint: "Give classNames, the names in the order of the head's classes, or save class indices.",
});

const unknownName = (value: string): Refusal => ({
  code: 'ERR_DATA',
  why: `label ${JSON.stringify(value)} is none of the class names`,
  hint: 'Check spelling and case; the names must be those of the head.',
});

const sharedName = (value: string, [a, b]: readonly [number, number]): Refusal => ({
  code: 'ERR_DATA',
  why: `label ${JSON.stringify(value)} is the name of both class ${a} and class ${b}`,
  hint: 'Save class indices, or make the names distinct.',
});
