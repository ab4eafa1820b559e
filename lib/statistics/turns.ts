/** Long arithmetic that can be left off after any of its steps. */
export type Steps<Result> = Generator<void, Result>;

/** Milliseconds that the event loop waits at most, single steps apart. */
const turn = 15;

/** All steps in one go. */
export function finish<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const next = steps.next();
    if (next.done) return next.value;
  }
}

/** All steps, with the event loop's other work between them. Rejects with the signal's reason. */
export async function inTurns<Result>(steps: Steps<Result>, signal?: AbortSignal): Promise<Result> {
  for (;;) {
    signal?.throwIfAborted();
    const until = performance.now() + turn;
    do {
      const next = steps.next();
      if (next.done) return next.value;
    } while (performance.now() < until);
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
  }
}
