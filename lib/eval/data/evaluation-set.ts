import { elementCount, formatShape, itemSize } from '../../checkpoint/tensor.js';
import { type ErrorCode, WisemergeError } from '../../errors.js';
import { type ArrayFile, openArrayFile } from './array-file.js';
import { parseDataPath } from './data-path.js';
import { checkFinite, type FeatureBound, narrowToF32 } from './feature-rows.js';
import { fingerprintOf } from './fingerprint.js';
import type { FloatDType } from './float-codes.js';
import { type Groups, readGroups } from './groups.js';
import { readLabels } from './labels.js';

/** `select`: alpha is chosen on it. `report`: kept for the figures that are reported. */
export type SetRole = 'select' | 'report';
/** `id`: the distribution that was fine-tuned on. `shift`: another one. */
export type SetKind = 'id' | 'shift';

/** Where a set comes from. Paths are `file` or `file:member`. */
export interface SetSource {
  readonly name: string;
  readonly role: SetRole;
  readonly kind: SetKind;
  /** [N, D], float: .npy, .npz or .safetensors. */
  readonly features: string;
  /** [N], class indices or names: also .csv, .jsonl or .parquet. */
  readonly labels: string;
  /** [N], whole numbers or text: as labels. */
  readonly groups?: string;
  /** Names of the classes in the head's order, for labels given as text. */
  readonly classNames?: readonly string[];
}

/** What a set must fit. */
export interface HeadShape {
  /** Features per sample. */
  readonly dimension?: number;
  /** Classes: labels are 0 to `classes - 1`. */
  readonly classes?: number;
  /** Features may be pictures, [N, channels, height, width]: for networks that take `pixel_values`. */
  readonly pictures?: boolean;
  /** Features above it are refused when they are read. */
  readonly bound?: FeatureBound;
}

/** Samples to evaluate on: checked, labels in memory, features on disk. */
export interface EvaluationSet {
  readonly name: string;
  readonly role: SetRole;
  readonly kind: SetKind;
  /** N. */
  readonly samples: number;
  /** D; of pictures channels * height * width. */
  readonly dimension: number;
  /** Of pictures: [channels, height, width]. */
  readonly shape?: readonly number[];
  /** Of the rows that `readFeatures` gives: the file's, but F32 for F64. */
  readonly featureDtype: FloatDType;
  /** [N]. */
  readonly labels: Int32Array;
  readonly groups?: Groups;
  /**
   * XXH3-64, 16 hex digits, over shapes, dtype, labels, groups, and the first and last MiB of the features:
   * tells sets apart without reading them whole, whatever the format. Not proof against forgery.
   */
  readonly fingerprint: string;
  /**
   * Reads rows `first` to `first + count`, little-endian and row by row, into `into`, which has
   * `count * dimension * itemSize(featureDtype)` bytes (ERR_INTERNAL_RANGE); fastest where it is aligned to an
   * element. Elements are checked on the calling thread at about 2 GB/s: pieces of up to 16 MiB keep the event
   * loop free. Throws ERR_IO, ERR_DATA naming row and column of a NaN or an infinity, or ERR_EVALUATION those of a
   * feature above the head's bound.
   */
  readFeatures(first: number, count: number, into: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** One of several things that are wrong with a set; JSON-serialisable. */
export interface SetProblem {
  readonly code: ErrorCode;
  readonly message: string;
  readonly file?: string;
  readonly hint?: string;
}

/**
 * Opens a set and checks all that can be checked without reading the features. Throws one WisemergeError for
 * everything that is wrong with the set (`details.problems`), with the code of the first: ERR_IO, ERR_DATA,
 * ERR_DATA_MISMATCH or ERR_SAFETENSORS_*.
 */
export async function openEvaluationSet(source: SetSource, head: HeadShape = {}): Promise<EvaluationSet> {
  const problems: SetProblem[] = [];
  const attempt = async <T>(step: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await step();
    } catch (error) {
      if (!(error instanceof WisemergeError)) throw error;
      problems.push(asProblem(error));
      return undefined;
    }
  };
  const { groups: groupSource, classNames } = source;
  const array = await attempt(() => openArrayFile(parseDataPath(source.features, 'features'), 'features'));
  try {
    const labels = await attempt(() =>
      readLabels(source.labels, {
        ...(head.classes !== undefined && { classes: head.classes }),
        ...(classNames && { classNames }),
      }),
    );
    const groups = groupSource === undefined ? undefined : await attempt(() => readGroups(groupSource));
    if (array) problems.push(...featureProblems(array, head));
    problems.push(...rowProblems(source, array, labels, groups));
    if (classNames && head.classes !== undefined && classNames.length !== head.classes) {
      problems.push({
        code: 'ERR_DATA_MISMATCH',
        message: `there are ${classNames.length} class names for ${head.classes} classes`,
        hint: 'Name all classes of the head, in its order.',
      });
    }
    if (problems.length > 0 || !array || !labels) throw setError(source, problems);
    return await evaluationSet(source, array, labels, groups, head.bound);
  } catch (error) {
    await array?.close();
    throw error;
  }
}

async function evaluationSet(
  { name, role, kind }: SetSource,
  array: ArrayFile,
  labels: Int32Array,
  groups: Groups | undefined,
  bound: FeatureBound | undefined,
): Promise<EvaluationSet> {
  const [samples, ...shape] = array.shape as [number, ...number[]];
  const dimension = elementCount(shape);
  const wide = array.dtype === 'F64';
  const featureDtype = wide ? 'F32' : (array.dtype as FloatDType);
  return {
    name,
    role,
    kind,
    samples,
    dimension,
    ...(shape.length > 1 && { shape }),
    featureDtype,
    labels,
    ...(groups && { groups }),
    fingerprint: await fingerprintOf(array, labels, groups),
    readFeatures: async (first, count, into) => {
      const bytes = count * dimension * itemSize(featureDtype);
      if (into.length !== bytes) {
        throw new WisemergeError(
          'ERR_INTERNAL_RANGE',
          `${count} rows of ${dimension} features (${featureDtype}) take ${bytes} bytes, not ${into.length}`,
        );
      }
      const chunk = { name: array.name, file: array.file, first, dimension };
      if (wide) {
        const rows = new Uint8Array(count * array.rowBytes);
        await array.readRows(first, count, rows);
        narrowToF32(rows, into, chunk, bound);
      } else {
        await array.readRows(first, count, into);
        checkFinite(into, featureDtype, chunk, bound);
      }
    },
    close: () => array.close(),
  };
}

const featureDtypes = ['F64', 'F32', 'F16', 'BF16'];

function featureProblems({ name, file, dtype, shape }: ArrayFile, head: HeadShape): SetProblem[] {
  const problems: SetProblem[] = [];
  const [, dimension] = shape;
  if (!featureDtypes.includes(dtype)) {
    problems.push({
      code: 'ERR_DATA',
      message: `${name} has the dtype ${dtype}; features are ${featureDtypes.join(', ')}`,
      file,
      hint: 'Save the features as float32 or float16.',
    });
  }
  if (shape.length !== 2 && !(head.pictures && shape.length === 4)) {
    const pictures = head.pictures ? ', pictures [samples, channels, height, width]' : '';
    problems.push({
      code: 'ERR_DATA',
      message: `${name} has the shape ${formatShape(shape)}; features are [samples, dimension]${pictures}`,
      file,
      hint:
        shape.length > 2
          ? 'Save pooled features: one vector per sample.'
          : 'Save one row per sample, and check that this is the array of features.',
    });
  } else if (shape.includes(0)) {
    problems.push({
      code: 'ERR_DATA',
      message: `${name} is empty: its shape is ${formatShape(shape)}`,
      file,
      hint: 'Save the features again; a set has at least one sample.',
    });
  } else if (head.dimension !== undefined && dimension !== head.dimension) {
    problems.push({
      code: 'ERR_DATA_MISMATCH',
      message: `${name} has ${dimension} features per sample, and the head takes ${head.dimension}`,
      file,
      hint: 'Compute the features with the encoder that the head was trained on.',
    });
  }
  return problems;
}

function rowProblems(
  source: SetSource,
  array: ArrayFile | undefined,
  labels: Int32Array | undefined,
  groups: Groups | undefined,
): SetProblem[] {
  const rows = array && array.shape.length > 0 ? array.shape[0] : labels?.length;
  const base = array ? 'features' : 'labels';
  const against = [
    { what: 'labels', path: source.labels, count: labels?.length },
    { what: 'groups', path: source.groups, count: groups?.ids.length },
  ];
  return against.flatMap(({ what, path, count }): SetProblem[] =>
    rows === undefined || path === undefined || count === undefined || count === rows
      ? []
      : [
          {
            code: 'ERR_DATA_MISMATCH',
            message: `${path} has ${count} ${what} for ${rows} rows of ${base} (${source[base]})`,
            file: path,
            hint: `Save one of the ${what} per row, in the order of the features.`,
          },
        ],
  );
}

function asProblem({ code, message, file, hint }: WisemergeError): SetProblem {
  return { code, message, ...(file !== undefined && { file }), ...(hint !== undefined && { hint }) };
}

function setError({ name }: SetSource, problems: readonly SetProblem[]): WisemergeError {
  const first = problems[0]!;
  const context = { ...(first.file !== undefined && { file: first.file }), details: { problems } };
  if (problems.length === 1) {
    return new WisemergeError(first.code, `set "${name}": ${first.message}`, {
      ...context,
      ...(first.hint !== undefined && { hint: first.hint }),
    });
  }
  const lines = problems.map(
    ({ message, hint }) => `  - ${message}${hint === undefined ? '' : `\n    ${hint}`}`,
  );
  return new WisemergeError(
    first.code,
    `set "${name}" has ${problems.length} problems\n${lines.join('\n')}`,
    context,
  );
}
