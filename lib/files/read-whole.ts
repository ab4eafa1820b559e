import { constants } from 'node:buffer';
import { open } from 'node:fs/promises';
import { WisemergeError } from '../errors.js';

/** What Node can hold as a text. Of more than 2 GiB it cannot read at once, either: the process would be ended. */
const maxBytes = constants.MAX_STRING_LENGTH;

/**
 * All bytes of a file. Node's own `readFile` takes a read that gives less than was asked for to be the last one: on network file
 * systems, whose reads may end early, the rest would be missing without a word. Throws what Node throws, and ERR_IO for a file
 * that is too large to be a text or a picture, such as one of weights.
 */
export async function readWhole(path: string): Promise<Buffer> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    if (size > maxBytes) throw tooLarge(path);
    // One more, in which its end shows.
    let bytes = Buffer.allocUnsafe(size + 1);
    let end = 0;
    for (;;) {
      const { bytesRead } = await handle.read(bytes, end, bytes.length - end, null);
      if (bytesRead === 0) return bytes.subarray(0, end);
      end += bytesRead;
      if (end > maxBytes) throw tooLarge(path);
      if (end === bytes.length) bytes = Buffer.concat([bytes, Buffer.allocUnsafe(end)]);
    }
  } finally {
    await handle.close();
  }
}

function tooLarge(path: string): WisemergeError {
  return new WisemergeError('ERR_IO', `cannot read ${path}: it is larger than ${maxBytes} bytes`, {
    file: path,
    hint: 'Check that it is the file that was meant.',
  });
}

/** The text of a file in UTF-8. Throws what `readWhole` throws. */
export async function readTextFile(path: string): Promise<string> {
  return (await readWhole(path)).toString('utf8');
}
