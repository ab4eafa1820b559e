// File operations that fail as on a broken disk, or on a server that is gone.
import fs from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { constants } from 'node:os';
import { onTestFinished } from 'vitest';

type Operation = 'mkdir' | 'open' | 'readdir' | 'rm' | 'stat';
type HandleMethod = 'close' | 'datasync' | 'stat';

/** As Node makes it; of the numbers that it does not know it says the number alone. */
export function fileError(code: keyof typeof constants.errno, syscall: string, path?: string): Error {
  const errno = -constants.errno[code];
  const named = code !== 'EDQUOT' && code !== 'ESTALE';
  const text = named ? `${code}: i/o error` : `Unknown system error ${errno}: Unknown system error ${errno}`;
  const message = `${text}, ${syscall}${path === undefined ? '' : ` '${path}'`}`;
  return Object.assign(new Error(message), {
    errno,
    code: named ? code : `Unknown system error ${errno}`,
    syscall,
    ...(path !== undefined && { path }),
  });
}

/** Until the test ends, or what it gives is called, an operation fails for paths that match. */
export function failing(
  operation: Operation,
  paths: RegExp,
  code: keyof typeof constants.errno = 'EIO',
): () => void {
  return replace(operation, (whole) => async (path: unknown, ...more: unknown[]) => {
    if (paths.test(String(path))) throw fileError(code, operation, String(path));
    return await whole(path, ...more);
  });
}

/** The same for an operation on files that are opened meanwhile; `close` closes them all the same. */
export function failingHandles(
  method: HandleMethod,
  paths: RegExp,
  code: keyof typeof constants.errno = 'EIO',
): () => void {
  return replace('open', (whole) => async (path: unknown, ...more: unknown[]) => {
    const handle = (await whole(path, ...more)) as FileHandle;
    if (paths.test(String(path))) {
      const real = handle[method].bind(handle);
      Object.defineProperty(handle, method, {
        value: async () => {
          if (method === 'close') await real();
          throw fileError(code, method);
        },
      });
    }
    return handle;
  });
}

type Whole = (path: unknown, ...more: unknown[]) => Promise<unknown>;

/** The same for reads of files that are opened meanwhile: each gives a byte at most, as on a network file system under load. */
export function readingByBytes(paths: RegExp): void {
  replace('open', (whole) => async (path: unknown, ...more: unknown[]) => {
    const handle = (await whole(path, ...more)) as FileHandle;
    if (paths.test(String(path))) {
      const real = handle.read.bind(handle) as (...args: unknown[]) => Promise<unknown>;
      const read = (into: Uint8Array, offset: number, length: number, position: number | null) =>
        real(into, offset, Math.min(length, 1), position);
      Object.defineProperty(handle, 'read', { value: read });
    }
    return handle;
  });
}

function replace(operation: Operation, by: (whole: Whole) => Whole): () => void {
  const promises = fs.promises as unknown as Record<string, Whole>;
  const whole = promises[operation]!;
  const restore = (): void => {
    promises[operation] = whole;
    syncBuiltinESMExports();
  };
  onTestFinished(restore);
  promises[operation] = by(whole);
  syncBuiltinESMExports();
  return restore;
}
