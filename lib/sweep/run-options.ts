import { type Check, checkOptions, flag, text } from '../merge/option-checks.js';
import type { DirectoryOptions } from './results-directory.js';

/** What a sweep and a soup are told beside their configuration, which has a schema of its own. */
interface RunOptions extends DirectoryOptions {
  readonly out: string;
  readonly evaluate?: unknown;
}

const callable: Check = (value) => (typeof value === 'function' ? undefined : 'must be a function');

const checks: { readonly [Option in keyof Required<RunOptions>]: Check } = {
  out: text,
  resume: flag,
  force: flag,
  evaluate: callable,
};

/** Throws ERR_USAGE naming the option. */
export function checkRunOptions({ out, resume, force, evaluate }: RunOptions): void {
  checkOptions({ out, resume, force, evaluate }, checks, ['out']);
}
