import { type ErrorCode, WisemergeError } from '../../errors.js';

/** A position in a configuration file, both from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** One thing that is wrong with a configuration, or with its models. */
export interface ConfigProblem {
  /** ERR_MERGE_FILE for the configuration itself, or what is wrong with a model. */
  readonly code: ErrorCode;
  /** The configuration, or the model at fault. */
  readonly file: string;
  readonly line?: number;
  readonly column?: number;
  readonly tensor?: string;
  readonly message: string;
  /** What to do about it. */
  readonly fix: string;
}

/** Problems listed in the message of the error; all are in `details.problems`. */
const listed = 20;

/** Collects what is wrong with one file, so that all of it is reported at once. */
export class Problems {
  readonly file: string;
  readonly list: ConfigProblem[] = [];
  readonly warnings: string[] = [];

  constructor(file: string) {
    this.file = file;
  }

  add(place: Place, message: string, fix: string): void {
    this.list.push({ code: 'ERR_MERGE_FILE', file: this.file, ...place, message, fix });
  }

  /** Something wrong with a model. */
  addModel(code: ErrorCode, file: string, tensor: string | undefined, message: string, fix: string): void {
    this.list.push({ code, file, ...(tensor !== undefined && { tensor }), message, fix });
  }

  /** Something wrong with a model that the configuration puts in the wrong place. */
  addModelAt(code: ErrorCode, place: Place, tensor: string, message: string, fix: string): void {
    this.list.push({ code, file: this.file, ...place, tensor, message, fix });
  }

  warn(place: Place, message: string): void {
    this.warnings.push(`${this.file}:${place.line}:${place.column}: ${message}`);
  }

  /** Throws ERR_MERGE_FILE, or ERR_INCOMPATIBLE if only models are at fault. */
  throwIfAny(): void {
    if (this.list.length === 0) return;
    const lines = this.list.slice(0, listed).map(({ file, line, column, message, fix }) => {
      const place = line === undefined ? '' : `${file}:${line}:${column}: `;
      return `  - ${place}${message}\n    ${fix}`;
    });
    if (this.list.length > listed) lines.push(`  … and ${this.list.length - listed} more`);
    const count = this.list.length === 1 ? 'a problem' : `${this.list.length} problems`;
    const inFile = this.list.some(({ code }) => code === 'ERR_MERGE_FILE');
    const first = this.list[0]!;
    throw new WisemergeError(
      inFile ? 'ERR_MERGE_FILE' : 'ERR_INCOMPATIBLE',
      `${inFile ? this.file : 'the inputs cannot be merged'}: ${count}\n${lines.join('\n')}`,
      {
        file: inFile ? this.file : first.file,
        ...(first.tensor !== undefined && { tensor: first.tensor }),
        details: { problems: this.list },
      },
    );
  }
}
