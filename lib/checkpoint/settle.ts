/**
 * Waits until every promise has settled, then gives their values or throws the first failure. `Promise.all`
 * would return while others still read into, or write from, memory that is about to be released.
 */
export async function settleAll<T>(promises: Iterable<Promise<T>>): Promise<T[]> {
  const results = await Promise.allSettled(promises);
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}
