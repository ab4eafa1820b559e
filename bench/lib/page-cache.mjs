// Cold means not one page of the inputs in the page cache; warm means all of them. Both are checked, for
// another process may read the files at the same time.
import { spawnSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { cachedBytes, evict } from '../../dist/native.js';

const attempts = 5;

export function makeCold(files) {
  settle();
  until(
    files,
    'evicted from',
    (fd) => evict(fd),
    (cached) => cached === 0,
  );
}

export function makeWarm(files) {
  settle();
  const chunk = Buffer.allocUnsafe(4 * 2 ** 20);
  const readAll = (fd) => {
    for (let at = 0, read = 1; read > 0; at += read) read = readSync(fd, chunk, 0, chunk.length, at);
  };
  until(files, 'brought into', readAll, (cached, size) => cached === size);
}

/** Writes all dirty pages back and lets deletions take effect, so that no measurement pays for the last one. */
function settle() {
  spawnSync('sync');
}

function until(files, what, act, reached) {
  for (const file of files) {
    const fd = openSync(file, 'r');
    try {
      const { size } = fstatSync(fd);
      let cached = cachedBytes(fd, size);
      for (let i = 0; i < attempts && !reached(cached, size); i++) {
        act(fd);
        cached = cachedBytes(fd, size);
      }
      if (cached === undefined) throw new Error('this system cannot tell what is in the page cache');
      if (!reached(cached, size)) {
        throw new Error(`${file} could not be ${what} the page cache: ${cached} of ${size} bytes are in it`);
      }
    } finally {
      closeSync(fd);
    }
  }
}
