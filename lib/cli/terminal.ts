import { WisemergeError } from '../errors.js';
import { style } from './format.js';

/** What every command needs besides its own flags. */
export interface OutputFlags {
  readonly json?: boolean;
  readonly quiet?: boolean;
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
  note(flags, `${style('yellow', 'warning:', process.stderr)} ${text}`);
}

/** The error for people on stderr and, with --json, for programs on stdout. */
export function printError(flags: OutputFlags, error: unknown): void {
  const known = error instanceof WisemergeError;
  if (flags.json) {
    const body = known ? error.toJSON() : { code: 'ERR_INTERNAL', message: String(error) };
    process.stdout.write(`${JSON.stringify({ error: body })}\n`);
  }
  const label = style('red', 'error:', process.stderr);
  if (known) {
    const hint = error.hint === undefined ? '' : `\n${error.hint}`;
    process.stderr.write(`${label} ${error.message} (${error.code})${hint}\n`);
  } else if (error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError')) {
    process.stderr.write('interrupted: nothing was written\n');
  } else {
    process.stderr.write(
      `${label} ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
  }
}

/**
 * A signal that aborts on the first SIGINT or SIGTERM, so that a command cleans up; the second ends the
 * process at once. `exitCode` gives 130 or 143 afterwards.
 */
export function interruptSignal(): { readonly signal: AbortSignal; exitCode: () => number | undefined } {
  const controller = new AbortController();
  let code: number | undefined;
  for (const [name, value] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    process.on(name, () => {
      if (code !== undefined) process.exit(code);
      code = value;
      controller.abort();
    });
  }
  return { signal: controller.signal, exitCode: () => code };
}

/** A reader that closes early (`| head`) ends the program quietly instead of crashing it. */
export function exitOnBrokenPipe(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0);
      throw error;
    });
  }
}
