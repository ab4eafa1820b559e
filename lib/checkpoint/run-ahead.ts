/** Items under way at once, so that threads have work while the next is being planned. */
const underWayAtOnce = 3;

/**
 * Hands items over one after another, in order, with `submit`, and keeps a few under way at once. The first failure
 * (or an abort) stops new ones, waits for those under way, and is thrown.
 */
export async function runAhead<Item>(
  items: Iterable<Item>,
  submit: (item: Item) => Promise<{ readonly done: Promise<unknown> }>,
  signal?: AbortSignal,
): Promise<void> {
  let failure: { readonly error: unknown } | undefined;
  const underWay = new Set<Promise<void>>();
  try {
    for (const item of items) {
      if (failure) break;
      signal?.throwIfAborted();
      const { done } = await submit(item);
      const settled = done.then(
        () => void underWay.delete(settled),
        (error: unknown) => {
          underWay.delete(settled);
          failure ??= { error };
        },
      );
      underWay.add(settled);
      if (underWay.size >= underWayAtOnce) await Promise.race(underWay);
    }
  } catch (error) {
    failure ??= { error };
  }
  await Promise.all(underWay);
  if (failure) throw failure.error;
}
