import { open } from 'node:fs/promises';

/**
 * All bytes of a file. Node's own `readFile` takes a read that gives less than was asked for to be the last one: on network file
 * systems, whose reads may end early, the rest would be missing without a word. Throws what Node throws.
 */
export async function readWhole(path: string): Promise<Buffer> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    // One more, in which its end shows.
    let bytes = Buffer.allocUnsafe(size + 1);
    let end = 0;
    for (;;) {
      const { bytesRead } = await handle.read(bytes, end, bytes.length - end, null);
      if (bytesRead === 0) return bytes.subarray(0, end);
      end += bytesRead;
      if (end === bytes.length) bytes = Buffer.concat([bytes, Buffer.allocUnsafe(end)]);
    }
  } finally {
    await handle.close();
  }
}

/** The text of a file in UTF-8. Throws what Node throws. */
export async function readTextFile(path: string): Promise<string> {
  return (await readWhole(path)).toString('utf8');
}
