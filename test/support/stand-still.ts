import { readdirSync, readFileSync } from 'node:fs';

/** No work of a test takes as long. */
const patienceMs = 30_000;

/**
 * Waits for work; where it stands still, rejects with what is under way and where each thread of the process waits. That it goes
 * on as soon as the event loop turns, as after a lost wake-up, would otherwise leave nothing to be seen.
 */
export async function unlessStill<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const still = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const active = process.getActiveResourcesInfo().join(', ');
      reject(new Error(`no end after ${patienceMs / 1000} s; under way: ${active}\n${threads().join('\n')}`));
    }, patienceMs);
  });
  try {
    return await Promise.race([work, still]);
  } finally {
    clearTimeout(timer);
  }
}

/** Name, state, and the kernel's function and call in which each thread is; nothing elsewhere than on Linux. */
function threads(): string[] {
  const all = '/proc/self/task';
  const read = (path: string): string => {
    try {
      return readFileSync(path, 'utf8').trim();
    } catch {
      return '-';
    }
  };
  try {
    return readdirSync(all).map((id) => {
      const of = (name: string): string => read(`${all}/${id}/${name}`);
      const state = /^State:\s*(\S)/m.exec(of('status'))?.[1];
      return `${id} ${of('comm')} ${state} ${of('wchan')} ${of('syscall')}`;
    });
  } catch {
    return [];
  }
}
