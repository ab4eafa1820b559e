import { fstat } from 'node:fs';
// Not the global ones: a window's, as in Electron, have no unref().
import { clearInterval, setInterval } from 'node:timers';

/** How long a request may lie unseen. */
const periodMs = 1000;

let users = 0;
let timer: NodeJS.Timeout | undefined;

/**
 * Until it is disposed of, makes a request of libuv's thread pool every second.
 *
 * The pool carries out Node's file requests, and its threads wait for one condition. glibc before 2.41 can lose the signal to
 * one of several such waiters (its bug 25847): a request then lies in the queue while all threads sleep, and a promise of
 * `node:fs/promises` is never settled, until another request wakes a thread. Whoever awaits one file after another makes none.
 */
export function startPulse(): Disposable {
  if (users++ === 0) timer = setInterval(beat, periodMs).unref();
  let over = false;
  return {
    [Symbol.dispose]() {
      if (over) return;
      over = true;
      if (--users === 0) clearInterval(timer);
    },
  };
}

function beat(): void {
  // Any request does, of any descriptor, open or not. Of all it is the one that needs no file, no other module of Node's and no
  // permission (--permission).
  fstat(2, () => {});
}
