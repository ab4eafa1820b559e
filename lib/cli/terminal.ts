import type { Command } from 'commander';
import { exitCode, ioError, WisemergeError } from '../errors.js';
import { printable, style } from './format.js';

/** What every command needs besides its own flags. */
export interface OutputFlags {
  readonly json?: boolean;
  readonly quiet?: boolean;
}

export function addOutputFlags(command: Command): Command {
  return command
    .option('--json', 'print the result as one JSON object')
    .option('--quiet', 'print no progress, notes or warnings, except warnings of NaN and infinity');
}

/** One result to stdout: data for programs with --json, a text for people otherwise. */
export function printResult(flags: OutputFlags, result: unknown, text: () => string): void {
  process.stdout.write(flags.json ? `${JSON.stringify(result)}\n` : `${text()}\n`);
}

/** A remark to stderr, where it never mixes with data. */
export function note(flags: OutputFlags, text: string): void {
  if (!flags.quiet) process.stderr.write(`${text}\n`);
}

export function warn(flags: OutputFlags, text: string): void {
  if (!flags.quiet) warnOfNumbers(text);
}

/** What is wrong with the numbers of a result, such as NaN in a model: said with --quiet, too. */
export function warnOfNumbers(text: string): void {
  process.stderr.write(`${style('yellow', 'warning:', process.stderr)} ${text}\n`);
}

/** The error for people on stderr and, with --json, for programs on stdout. */
export function printError(flags: OutputFlags, error: unknown): void {
  printErrorObject(flags, error);
  const label = style('red', 'error:', process.stderr);
  if (error instanceof WisemergeError) {
    const { message, file, code, hint } = error;
    const where = file === undefined || message.includes(file) ? '' : `${file}: `;
    const text = `${where}${message} (${code})${hint === undefined ? '' : `\n${hint}`}`;
    // Messages quote names of tensors and files, which come from the checkpoint.
    process.stderr.write(`${label} ${text.split('\n').map(printable).join('\n')}\n`);
  } else if (isAbort(error)) {
    process.stderr.write('interrupted\n');
  } else {
    process.stderr.write(
      `${label} ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
  }
}

/** With --json: the error for programs, on stdout. */
export function printErrorObject(flags: OutputFlags, error: unknown): void {
  if (!flags.json) return;
  const code = isAbort(error) ? 'ERR_ABORTED' : 'ERR_INTERNAL';
  const body = error instanceof WisemergeError ? error.toJSON() : { code, message: String(error) };
  process.stdout.write(`${JSON.stringify({ error: body })}\n`);
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError');
}

/** What stops a command from outside, and the exit code that it leaves. */
export interface Interrupt {
  readonly signal: AbortSignal;
  readonly exitCode: () => number | undefined;
  /** Aborts the signal; the first reason gives the exit code. */
  readonly abort: (code: number) => void;
}

/**
 * A signal that aborts on the first SIGINT or SIGTERM, so that a command cleans up; the second ends the
 * process at once. `exitCode` gives 130 or 143 afterwards.
 */
export function interruptSignal(): Interrupt {
  const controller = new AbortController();
  let code: number | undefined;
  const abort = (value: number): void => {
    code ??= value;
    controller.abort();
  };
  for (const [name, value] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    process.on(name, () => {
      if (code !== undefined) process.exit(code);
      abort(value);
    });
  }
  return { signal: controller.signal, exitCode: () => code, abort };
}

/** 128 + SIGPIPE, as a shell reports a program that writes to a pipe without a reader. */
const brokenPipe = 141;

/**
 * A reader of stdout that closes early (`| head`) ends the program: quietly once the command is done, which the
 * function that is returned says; before that by aborting it, so that nothing half-written stays. Data that cannot be
 * written (a full disk) ends it alike, with an error. Remarks on stderr that go nowhere change nothing.
 */
export function watchPipes({ abort }: Interrupt): () => void {
  let done = false;
  process.stderr.on('error', () => {});
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    let code = brokenPipe;
    if (error.code !== 'EPIPE') {
      const failure = ioError(error, 'write', 'standard output');
      printError({}, failure);
      code = exitCode(failure);
    }
    if (!done) abort(code);
    else process.exit(error.code === 'EPIPE' ? process.exitCode : code);
  });
  return () => {
    done = true;
  };
}
