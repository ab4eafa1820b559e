const copyElements = Object.getPrototypeOf(Uint8Array).prototype.slice as () => unknown;

/**
 * A call's options with lists, records and arrays of numbers of their own: what the caller changes in his while the call runs
 * has not been checked. Functions, signals and other objects of classes are the caller's still.
 */
export function ownCopy<T>(options: T): T {
  const copies = new Map<object, unknown>();
  const copy = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    const earlier = copies.get(value);
    if (earlier !== undefined) return earlier;
    if (ArrayBuffer.isView(value)) return value instanceof DataView ? value : copyElements.call(value);
    if (!Array.isArray(value) && !isRecord(value)) return value;
    const own: Record<string, unknown> | unknown[] = Array.isArray(value) ? [...value] : { ...value };
    copies.set(value, own);
    for (const [key, item] of Object.entries(own)) (own as Record<string, unknown>)[key] = copy(item);
    return own;
  };
  return copy(options) as T;
}

function isRecord(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  // Of another realm, too: its Object.prototype has no prototype either.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
