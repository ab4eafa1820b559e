import { Worker } from 'node:worker_threads';
import { WisemergeError } from '../../errors.js';
import type { DecodeFailure, DecodeReply, DecodeRequest, DecodeWork } from './decode-messages.js';
import type { ImageFile } from './image-set.js';

// Built code only: threads do not see the loader of a test runner. The same place seen from lib/ and dist/.
const program = new URL('../../../dist/eval/images/decode-worker.js', import.meta.url);

interface Thread {
  readonly worker: Worker;
  readonly exited: Promise<void>;
  /** Requests without a reply, by id. */
  readonly waiting: Map<number, Waiting>;
}

interface Waiting {
  readonly resolve: (failure: DecodeFailure | undefined) => void;
  readonly reject: (error: Error) => void;
}

/** Threads that decode images into slots of shared memory. They keep the process alive only while they work. */
export class DecodePool {
  readonly #threads: readonly Thread[];
  #nextId = 0;
  #closing = false;
  #failed: Error | undefined;

  constructor(threads: number, work: DecodeWork) {
    this.#threads = Array.from({ length: threads }, () => this.#start(work));
  }

  /**
   * Fills a slot; gives why not if the file is at fault. Rejects with ERR_ADDON_NOT_FOUND where the decoder cannot
   * be loaded, ERR_OUT_OF_MEMORY and ERR_INTERNAL.
   */
  decode({ path, size }: ImageFile, slot: number): Promise<DecodeFailure | undefined> {
    if (this.#failed) return Promise.reject(this.#failed);
    const { worker, waiting } = this.#threads.reduce((a, b) => (b.waiting.size < a.waiting.size ? b : a));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      worker.ref();
      worker.postMessage({ id, path, size, slot } satisfies DecodeRequest);
    });
  }

  /** Ends the threads, which finish the images that they have begun. */
  async close(): Promise<void> {
    this.#closing = true;
    for (const { worker } of this.#threads) {
      worker.ref();
      worker.postMessage(null satisfies DecodeRequest);
    }
    await Promise.all(this.#threads.map(({ exited }) => exited));
  }

  #start(workerData: DecodeWork): Thread {
    const worker = new Worker(program, { workerData, execArgv: [] });
    const waiting = new Map<number, Waiting>();
    worker.unref();
    worker.on('message', ({ id, failure }: DecodeReply) => {
      waiting.get(id)?.resolve(failure);
      waiting.delete(id);
      if (waiting.size === 0 && !this.#closing) worker.unref();
    });
    const exited = new Promise<void>((resolve) => {
      worker.on('error', (error) => this.#fail(error));
      worker.on('exit', () => {
        this.#failed ??= new WisemergeError('ERR_INTERNAL', 'a decoding thread has ended');
        for (const { reject } of waiting.values()) reject(this.#failed);
        waiting.clear();
        resolve();
      });
    });
    return { worker, exited, waiting };
  }

  #fail(cause: unknown): void {
    const { code, message = String(cause) } = cause as NodeJS.ErrnoException;
    if (code === 'ERR_WORKER_OUT_OF_MEMORY') {
      this.#failed ??= new WisemergeError('ERR_OUT_OF_MEMORY', 'an image does not fit in memory', {
        hint: 'Make very large images smaller beforehand, or use fewer threads.',
        cause,
      });
    } else if (/sharp|libvips/i.test(message)) {
      this.#failed ??= new WisemergeError(
        'ERR_ADDON_NOT_FOUND',
        `sharp, which decodes images, cannot be loaded: ${message.split('\n')[0]}`,
        { hint: 'Install it for this platform: npm install --include=optional sharp', cause },
      );
    } else {
      this.#failed ??= new WisemergeError('ERR_INTERNAL', `a decoding thread failed: ${message}`, { cause });
    }
  }
}
