import { constants } from 'node:os';
import { types } from 'node:util';

/**
 * Why an operation failed, for programs: the code is stable, the message is for people.
 *
 * Grouped by the exit code of the command line.
 */
export type ErrorCode =
  // 1: unexpected, a bug of ours
  | 'ERR_INTERNAL'
  /** The native layer refused what TypeScript passed to it. */
  | 'ERR_INTERNAL_ARGUMENT'
  /** A byte range leaves its buffer or overlaps another. */
  | 'ERR_INTERNAL_RANGE'
  /** A host buffer was used after `release()`. */
  | 'ERR_BUFFER_RELEASED'
  /** An engine was used after `close()`. */
  | 'ERR_ENGINE_CLOSED'
  // 2: usage
  /** An option is missing, unknown or out of its range. */
  | 'ERR_USAGE'
  /** Alpha outside [0, 1] without asking for extrapolation. */
  | 'ERR_ALPHA_RANGE'
  /** The output exists. */
  | 'ERR_OUTPUT_EXISTS'
  /** What is there is not one earlier output of the same command and nothing else, so it is not replaced. */
  | 'ERR_OUTPUT_NOT_OURS'
  /** The output is, or contains, an input. */
  | 'ERR_OUTPUT_IS_INPUT'
  /** The memory budget does not hold the smallest ring of buffers. */
  | 'ERR_MEMORY'
  /** A sweep file is not YAML, or an option of a sweep, in a file or not, is unknown, missing or of the wrong kind. */
  | 'ERR_SWEEP_FILE'
  /** A merge configuration is not YAML, or something in it is wrong; `details.problems` lists everything. */
  | 'ERR_MERGE_FILE'
  /** Alpha was to be chosen on a set that is kept for reporting. */
  | 'ERR_REPORT_SET'
  /** A sweep was to be resumed with other options than it was begun with. */
  | 'ERR_SWEEP_CHANGED'
  /** No alpha satisfies the constraint of the selection rule. */
  | 'ERR_NO_ALPHA'
  /** Training was to be resumed with other options or data than it was begun with. */
  | 'ERR_TRAINING_CHANGED'
  /** The loss or its gradient became NaN or infinite. */
  | 'ERR_DIVERGED'
  // 75: try again later
  /** Another process writes the same output. */
  | 'ERR_OUTPUT_BUSY'
  // 5: input, output and memory
  | 'ERR_IO'
  /** An input was modified while it was read. */
  | 'ERR_INPUT_CHANGED'
  /** The disk or the quota has no room for the output. */
  | 'ERR_NO_SPACE'
  /** The system gives this process no more memory, or threads. */
  | 'ERR_OUT_OF_MEMORY'
  // 6: device and native library
  /** No addon binary for this platform could be loaded. */
  | 'ERR_ADDON_NOT_FOUND'
  /** The runtime forbids external array buffers (Electron). */
  | 'ERR_EXTERNAL_BUFFERS'
  /** There is no such device, or its driver or library is missing or too old. */
  | 'ERR_DEVICE_UNAVAILABLE'
  /** The device's memory is exhausted. */
  | 'ERR_DEVICE_MEMORY'
  /** The device failed while running. */
  | 'ERR_DEVICE'
  // 130: stopped on request
  | 'ERR_ABORTED'
  // 3: invalid or incompatible input
  /** No weights there, several models, or a format that is not read. */
  | 'ERR_NOT_A_CHECKPOINT'
  /** A shard index is damaged or disagrees with its shards. */
  | 'ERR_INDEX'
  /** `config.json` is not a JSON object. */
  | 'ERR_CONFIG'
  /** `wisemerge.json` is missing or damaged. */
  | 'ERR_MANIFEST'
  /** A file of features, labels or groups is damaged, or not of a kind that is read. */
  | 'ERR_DATA'
  /** The files of an evaluation set disagree with one another or with the model: rows, classes, dimensions. */
  | 'ERR_DATA_MISMATCH'
  /** A command or function that evaluates models failed, or gave no score. */
  | 'ERR_EVALUATION'
  /** A sweep's journal or result is damaged. */
  | 'ERR_SWEEP_RESULT'
  /** The state that training would be resumed from is damaged. */
  | 'ERR_TRAINING_STATE'
  | 'ERR_NO_SUCH_TENSOR'
  | 'ERR_TENSOR_TOO_LARGE'
  /** The output's header would be larger than readers accept. */
  | 'ERR_HEADER_TOO_LARGE'
  /** Two models cannot be merged; `details.problems` lists every reason, with the codes that follow. */
  | 'ERR_INCOMPATIBLE'
  | 'ERR_MISSING_TENSOR'
  | 'ERR_SHAPE_MISMATCH'
  | 'ERR_DTYPE_MISMATCH'
  | 'ERR_ARCHITECTURE_MISMATCH'
  | 'ERR_TIED_WEIGHTS'
  | 'ERR_QUANTISED'
  | 'ERR_ADAPTER'
  /** A tokenizer is missing, damaged, or does not go with the others. */
  | 'ERR_TOKENIZER'
  | 'ERR_INTEGER_TENSOR_DIFFERS'
  /** The file is shorter than its header says. */
  | 'ERR_SAFETENSORS_TRUNCATED'
  /** The declared header length is impossible or above the format's limit. */
  | 'ERR_SAFETENSORS_HEADER_SIZE'
  /** Not the JSON that the safetensors format allows. */
  | 'ERR_SAFETENSORS_JSON'
  | 'ERR_SAFETENSORS_DUPLICATE'
  | 'ERR_SAFETENSORS_DTYPE'
  | 'ERR_SAFETENSORS_SHAPE'
  /** A hole, an overlap, a size that is not the shape's, or data beyond the end of the file. */
  | 'ERR_SAFETENSORS_OFFSETS'
  | 'ERR_SAFETENSORS_METADATA'
  /** Not a file of torch.save, of an old format of it, or a damaged archive. */
  | 'ERR_TORCH_FILE'
  /** The pickle of such a file is damaged, or beyond the budgets. */
  | 'ERR_PICKLE'
  /** The pickle names a class or function that plain tensors do not need. Nothing of it was run. */
  | 'ERR_PICKLE_GLOBAL'
  /** The file holds no dictionary of tensors, or one whose names are ambiguous. */
  | 'ERR_TORCH_STATE'
  /** A tensor is not contiguous, or lies beyond its storage. */
  | 'ERR_TORCH_TENSOR';

/** What an error is about, beyond its message. */
export interface ErrorContext {
  /** The tensor at fault. */
  readonly tensor?: string;
  /** The file at fault. */
  readonly file?: string;
  /** What the user can do about it. */
  readonly hint?: string;
  /** Further figures, as JSON. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** Every error this package throws on purpose. Aborts reject with the signal's own reason instead. */
export class WisemergeError extends Error {
  override readonly name = 'WisemergeError';
  readonly code: ErrorCode;
  // Declared, so that only what is known is there: consoles and loggers print every property.
  declare readonly tensor?: string;
  declare readonly file?: string;
  declare readonly hint?: string;
  declare readonly details?: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, context: ErrorContext = {}) {
    super(message, context.cause === undefined ? undefined : { cause: context.cause });
    this.code = code;
    if (context.tensor !== undefined) this.tensor = context.tensor;
    if (context.file !== undefined) this.file = context.file;
    if (context.hint !== undefined) this.hint = context.hint;
    if (context.details !== undefined) this.details = context.details;
  }

  /** The same error, with what was not known where it arose. */
  at(context: ErrorContext): WisemergeError {
    const { tensor, file, hint, details, cause, stack } = this;
    const known = Object.entries({ tensor, file, hint, details, cause }).filter(
      ([, value]) => value !== undefined,
    );
    const error = new WisemergeError(this.code, this.message, { ...context, ...Object.fromEntries(known) });
    if (stack !== undefined) error.stack = stack;
    return error;
  }

  toJSON(): Record<string, unknown> {
    const { code, message, tensor, file, hint, details } = this;
    return { code, message, tensor, file, hint, details };
  }
}

/** The hint of ERR_NO_SPACE. */
export const freeSpace = 'Free disk space, or write elsewhere.';

/** Errors of network file systems and of quotas, which Node gives by their numbers alone. */
const unnamed: ReadonlyMap<number, string> = new Map([
  [constants.errno.EDQUOT, 'the disk quota is used up'],
  [constants.errno.ESTALE, 'stale file handle: the file was replaced, or its server restarted'],
]);

/**
 * An error of any realm. Where a test runner loads the package into a context of its own, Node's errors and the addon's are not
 * instances of that context's `Error`.
 */
export function isError(value: unknown): value is Error {
  return value instanceof Error || types.isNativeError(value);
}

/** What anything that was thrown says. */
export function messageOf(thrown: unknown): string {
  return isError(thrown) ? thrown.message : String(thrown);
}

/** One of Node's about a file: they carry the system call that failed, or that Node was started without permission for it. */
function isFileError(error: unknown): boolean {
  if (!isError(error)) return false;
  return 'syscall' in error || (error as NodeJS.ErrnoException).code === 'ERR_ACCESS_DENIED';
}

/**
 * A failed file operation as a typed error that names the file; errors that are already typed, and aborts,
 * pass through. `operation` completes "cannot …"; `hint` is for those of files alone.
 */
export function ioError(error: unknown, operation: string, path: string, hint?: string): Error {
  if (error instanceof WisemergeError && error.file === undefined) {
    return error.at({ file: path, ...(error.code === 'ERR_NO_SPACE' && { hint: freeSpace }) });
  }
  if (!isFileError(error)) return error as Error;
  const { code, errno = 0, message } = error as NodeJS.ErrnoException;
  const number = -errno;
  const noSpace = code === 'ENOSPC' || number === constants.errno.EDQUOT;
  const tooMany = code === 'EMFILE' || code === 'ENFILE';
  // Node's message is "CODE: text, syscall 'path'".
  const reason = unnamed.get(number) ?? /^\w+: (.+?), \w+/.exec(message)?.[1] ?? message;
  return new WisemergeError(noSpace ? 'ERR_NO_SPACE' : 'ERR_IO', `cannot ${operation} ${path}: ${reason}`, {
    file: path,
    cause: error,
    ...(noSpace && { hint: freeSpace }),
    ...(tooMany && { hint: 'Raise the limit on open files: ulimit -n.' }),
    ...(hint !== undefined && { hint }),
  });
}

const exitCodes: Record<ErrorCode, number> = {
  ERR_INTERNAL: 1,
  ERR_INTERNAL_ARGUMENT: 1,
  ERR_INTERNAL_RANGE: 1,
  ERR_BUFFER_RELEASED: 1,
  ERR_ENGINE_CLOSED: 1,
  ERR_USAGE: 2,
  ERR_ALPHA_RANGE: 2,
  ERR_OUTPUT_EXISTS: 2,
  ERR_OUTPUT_NOT_OURS: 2,
  ERR_OUTPUT_IS_INPUT: 2,
  ERR_MEMORY: 2,
  ERR_SWEEP_FILE: 2,
  ERR_MERGE_FILE: 2,
  ERR_REPORT_SET: 2,
  ERR_SWEEP_CHANGED: 2,
  ERR_NO_ALPHA: 2,
  ERR_TRAINING_CHANGED: 2,
  ERR_DIVERGED: 2,
  ERR_NOT_A_CHECKPOINT: 3,
  ERR_INDEX: 3,
  ERR_CONFIG: 3,
  ERR_MANIFEST: 3,
  ERR_DATA: 3,
  ERR_DATA_MISMATCH: 3,
  ERR_EVALUATION: 3,
  ERR_SWEEP_RESULT: 3,
  ERR_TRAINING_STATE: 3,
  ERR_NO_SUCH_TENSOR: 3,
  ERR_TENSOR_TOO_LARGE: 3,
  ERR_HEADER_TOO_LARGE: 3,
  ERR_INCOMPATIBLE: 3,
  ERR_MISSING_TENSOR: 3,
  ERR_SHAPE_MISMATCH: 3,
  ERR_DTYPE_MISMATCH: 3,
  ERR_ARCHITECTURE_MISMATCH: 3,
  ERR_TIED_WEIGHTS: 3,
  ERR_QUANTISED: 3,
  ERR_ADAPTER: 3,
  ERR_TOKENIZER: 3,
  ERR_INTEGER_TENSOR_DIFFERS: 3,
  ERR_SAFETENSORS_TRUNCATED: 3,
  ERR_SAFETENSORS_HEADER_SIZE: 3,
  ERR_SAFETENSORS_JSON: 3,
  ERR_SAFETENSORS_DUPLICATE: 3,
  ERR_SAFETENSORS_DTYPE: 3,
  ERR_SAFETENSORS_SHAPE: 3,
  ERR_SAFETENSORS_OFFSETS: 3,
  ERR_SAFETENSORS_METADATA: 3,
  ERR_TORCH_FILE: 3,
  ERR_PICKLE: 3,
  ERR_PICKLE_GLOBAL: 3,
  ERR_TORCH_STATE: 3,
  ERR_TORCH_TENSOR: 3,
  ERR_IO: 5,
  ERR_INPUT_CHANGED: 5,
  ERR_NO_SPACE: 5,
  ERR_OUT_OF_MEMORY: 5,
  ERR_ADDON_NOT_FOUND: 6,
  ERR_EXTERNAL_BUFFERS: 6,
  ERR_DEVICE_UNAVAILABLE: 6,
  ERR_DEVICE_MEMORY: 6,
  ERR_DEVICE: 6,
  ERR_OUTPUT_BUSY: 75,
  ERR_ABORTED: 130,
};

/**
 * The command line's exit code: 2 usage or configuration, 3 invalid or incompatible input, 5 input and
 * output, 6 device, 75 lock held by another process, 130 aborted, 1 unexpected.
 */
export function exitCode(error: unknown): number {
  if (error instanceof WisemergeError) return exitCodes[error.code];
  if (!isError(error)) return 1;
  if (error.name === 'AbortError' || error.name === 'TimeoutError') return 130;
  return isFileError(error) ? 5 : 1;
}
