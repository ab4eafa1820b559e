import { checkNames, failOption } from '../call-options.js';

/** Says what is wrong with a value; undefined if nothing is. */
export type Check = (value: unknown) => string | undefined;

export const isNumber = (value: unknown): value is number => typeof value === 'number';
export const text: Check = (value) =>
  typeof value === 'string' && value !== '' ? undefined : 'must be a non-empty string';
export const flag: Check = (value) => (typeof value === 'boolean' ? undefined : 'must be true or false');
export const oneOf =
  (...names: string[]): Check =>
  (value) =>
    names.includes(value as string) ? undefined : `must be one of ${names.join(', ')}`;
export const whole =
  (minimum: number, maximum = Number.MAX_SAFE_INTEGER): Check =>
  (value) =>
    Number.isSafeInteger(value) && (value as number) >= minimum && (value as number) <= maximum
      ? undefined
      : `must be a whole number from ${minimum} to ${maximum}`;
export const names: Check = (value) =>
  Array.isArray(value) && value.every((name) => text(name) === undefined)
    ? undefined
    : 'must be a list of names';
/** More than any machine has processors; native code sets memory aside for each. */
export const maxThreads = 1024;
export const threadCount: Check = whole(1, maxThreads);
/** Those that the command line takes, so that an output's recorded command can make it again. */
export const seed: Check = whole(0, 2 ** 32 - 1);
/** Sizes; `example` is a flag that would do. */
export const bytes =
  (minimum: number, example: string): Check =>
  (value) =>
    whole(minimum)(value) &&
    `must be a whole number of bytes from ${minimum} to ${Number.MAX_SAFE_INTEGER}, such as ${example}`;
export const device: Check = (value) =>
  typeof value === 'string' && /^(auto|cpu|cuda(:\d+)?)$/.test(value)
    ? undefined
    : 'must be auto, cpu, cuda or cuda:N';

/** Checks names, presence and values of options. Throws ERR_USAGE that names the option. */
export function checkOptions(
  options: object,
  checks: Readonly<Record<string, Check>>,
  required: readonly string[],
): void {
  checkNames(options, Object.keys(checks));
  for (const [option, check] of Object.entries(checks)) {
    const value = (options as Record<string, unknown>)[option];
    if (value === undefined && !required.includes(option)) continue;
    const why = value === undefined ? 'is missing' : check(value);
    if (why !== undefined) failOption(option, why);
  }
}
