import { WisemergeError } from '../../errors.js';

type Json = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Reads the fields of one JSON object; each wrong one is an ERR_CONFIG that names file and key. */
export class JsonFields {
  readonly file: string;
  readonly #object: Json;

  constructor(file: string, object: Json) {
    this.file = file;
    this.#object = object;
  }

  /** The value of a key, or undefined where it is absent or null. */
  get(key: string): unknown {
    return this.#object[key] ?? undefined;
  }

  object(key: string): JsonFields | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (isObject(value)) return new JsonFields(this.file, value);
    throw this.wrong(key, 'an object');
  }

  text(key: string): string | undefined {
    const value = this.get(key);
    if (value === undefined || typeof value === 'string') return value;
    throw this.wrong(key, 'text');
  }

  number(key: string): number | undefined {
    const value = this.get(key);
    if (value === undefined || typeof value === 'number') return value;
    throw this.wrong(key, 'a number');
  }

  /** Null is false, as in Python. */
  flag(key: string, absent: boolean): boolean {
    const value = this.#object[key];
    if (value === undefined) return absent;
    if (value === null || typeof value === 'boolean') return value ?? false;
    throw this.wrong(key, 'true or false');
  }

  /** One number per channel; a single number stands for all three. */
  channels(key: string): [number, number, number] | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (typeof value === 'number') return [value, value, value];
    if (isNumbers(value, 3)) return value as [number, number, number];
    throw this.wrong(key, 'three numbers, one per channel');
  }

  /** `size`, `[height, width]` or `{height, width}`. */
  side(key: string): number | { readonly width: number; readonly height: number } | undefined {
    const value = this.get(key);
    if (value === undefined || typeof value === 'number') return value;
    if (isNumbers(value, 2)) return { height: value[0]!, width: value[1]! };
    if (isObject(value) && typeof value.height === 'number' && typeof value.width === 'number') {
      return { height: value.height, width: value.width };
    }
    throw this.wrong(key, 'a number, [height, width] or {height, width}');
  }

  wrong(key: string, wanted: string): WisemergeError {
    const value = JSON.stringify(this.get(key) ?? null);
    const shown = value.length > 80 ? `${value.slice(0, 80)}…` : value;
    return new WisemergeError('ERR_CONFIG', `${this.file}: "${key}" is ${shown}; supported is ${wanted}`, {
      file: this.file,
      hint: `Correct "${key}", or give the transform as an object.`,
    });
  }
}

function isNumbers(value: unknown, length: number): value is number[] {
  return Array.isArray(value) && value.length === length && value.every((item) => typeof item === 'number');
}
