import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Whether `path` is a directory at which something is mounted. */
export async function isMountPoint(path: string): Promise<boolean> {
  const [own, parent] = await Promise.all(
    [path, dirname(path)].map((place) => stat(place).catch(() => undefined)),
  );
  if (!own?.isDirectory()) return false;
  if (own.dev !== parent?.dev) return true;
  // A bind mount may be of the same device. Linux lists all: proc_pid_mountinfo(5).
  const [table, place] = await Promise.all([
    readFile('/proc/self/mountinfo', 'utf8').catch(() => ''),
    realpath(path),
  ]);
  return table.split('\n').some((line) => decoded(line.split(' ')[4] ?? '') === place);
}

/** Spaces, line ends and backslashes stand there in octal. */
function decoded(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)));
}
