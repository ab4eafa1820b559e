import { freeSpace, WisemergeError } from '../errors.js';

/** An error of the native layer about a descriptor as one about the file that `name` knows by it. */
export function nameFile(error: unknown, name: (fd: number) => string | undefined): unknown {
  if (!(error instanceof WisemergeError)) return error;
  const { fd, operation } = (error.details ?? {}) as { fd?: number; operation?: string };
  const file = fd === undefined ? undefined : name(fd);
  if (file === undefined) return error;
  const { code, message } = error;
  const text =
    code === 'ERR_INPUT_CHANGED'
      ? `${file} changed while wisemerge was reading it: ${message}`
      : `cannot ${operation} ${file}: ${message}`;
  const hint = code === 'ERR_NO_SPACE' && { hint: freeSpace };
  return new WisemergeError(code, text, { file, cause: error, ...hint });
}
