/** The program of a decoding thread. */
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../../errors.js';
import { readWhole } from '../../files/read-whole.js';
import { decodeRgb } from './decode.js';
import type { DecodeFailure, DecodeReply, DecodeRequest, DecodeWork } from './decode-messages.js';
import { type Preprocessor, preprocessor } from './preprocess.js';
import type { RgbImage } from './resample.js';

const { transform, slots } = workerData as DecodeWork;
const prepare: Preprocessor = preprocessor(transform);
const elements = 3 * prepare.width * prepare.height;
const port = parentPort!;
const queue: Exclude<DecodeRequest, null>[] = [];
let busy = 0;
let ending = false;

// While one image is resized here, the next is read and decoded by Node's file threads. No more: decoded images may
// be large.
const atOnce = 2;

port.on('message', (request: DecodeRequest) => {
  if (request === null) {
    ending = true;
    queue.length = 0;
  } else queue.push(request);
  step();
});

function step(): void {
  while (busy < atOnce && queue.length > 0) void answer(queue.shift()!);
  // A decoder must not be in the middle of a file when its thread ends.
  if (ending && busy === 0) port.close();
}

async function answer(request: Exclude<DecodeRequest, null>): Promise<void> {
  busy++;
  const failure = await decodeInto(request);
  port.postMessage({ id: request.id, ...(failure && { failure }) } satisfies DecodeReply);
  busy--;
  step();
}

async function decodeInto({
  path,
  size,
  slot,
}: Exclude<DecodeRequest, null>): Promise<DecodeFailure | undefined> {
  let file: Uint8Array;
  try {
    // Not by path: the decoder would keep what it once read from there.
    file = await readWhole(path);
  } catch (error) {
    return { kind: 'io', reason: (error as NodeJS.ErrnoException).code ?? String(error) };
  }
  if (file.length !== size) return { kind: 'changed', reason: `it had ${size} bytes and has ${file.length}` };
  let image: RgbImage;
  try {
    image = await decodeRgb(file);
  } catch (error) {
    // The decoder's messages may have several lines, the last of them about the first.
    const reason = messageOf(error);
    return { kind: 'image', reason: reason.split('\n')[0]! };
  }
  prepare.run(image, new Float32Array(slots, 4 * elements * slot, elements));
  return undefined;
}
