/** The dictionary of a .npy header, as written. */
export interface NpyDict {
  /** The type string, such as `<f4`; undefined for the list that describes a structured array. */
  readonly descr: string | undefined;
  readonly fortranOrder: boolean;
  readonly shape: readonly number[];
}

/** What is wrong with a header, without the file's name. */
export class NpyDictError extends Error {}

/**
 * Parses the Python literal `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }` and nothing else:
 * these three keys once each, in any order. Source: NumPy, "NEP 1: a simple file format for NumPy arrays" and
 * numpy.lib.format. Throws NpyDictError.
 */
export function parseNpyDict(text: string): NpyDict {
  const cursor = new Cursor(text);
  let descr: { readonly value: string | undefined } | undefined;
  let fortranOrder: boolean | undefined;
  let shape: number[] | undefined;
  cursor.expect('{');
  while (!cursor.take('}')) {
    const key = cursor.string();
    cursor.expect(':');
    if (key === 'descr' && !descr) {
      // A structured array is refused whatever its fields are, so they are not parsed.
      if (cursor.peek('[')) return { descr: undefined, fortranOrder: false, shape: [] };
      descr = { value: cursor.string() };
    } else if (key === 'fortran_order' && fortranOrder === undefined) {
      fortranOrder = cursor.boolean();
    } else if (key === 'shape' && !shape) {
      shape = cursor.tuple();
    } else {
      throw new NpyDictError(`it has the key ${JSON.stringify(key)} twice, or it is not one of the format`);
    }
    if (!cursor.take(',') && !cursor.peek('}')) cursor.fail("',' or '}'");
  }
  cursor.end();
  if (!descr || fortranOrder === undefined || !shape) {
    throw new NpyDictError('it must have the keys descr, fortran_order and shape');
  }
  return { descr: descr.value, fortranOrder, shape };
}

class Cursor {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Whether `token` comes next, after white space. */
  peek(token: string): boolean {
    this.#match(/[ \t\n]*/y);
    return this.#text.startsWith(token, this.#at);
  }

  take(token: string): boolean {
    const there = this.peek(token);
    if (there) this.#at += token.length;
    return there;
  }

  expect(token: string): void {
    if (!this.take(token)) this.fail(`'${token}'`);
  }

  string(): string {
    this.peek('');
    const found = this.#match(/'([^'"\\\n]*)'|"([^'"\\\n]*)"/y) ?? this.fail('a quoted name');
    return found[1] ?? found[2] ?? '';
  }

  boolean(): boolean {
    if (this.take('True')) return true;
    if (this.take('False')) return false;
    return this.fail('True or False');
  }

  tuple(): number[] {
    const dims: number[] = [];
    this.expect('(');
    while (!this.take(')')) {
      this.peek('');
      // Python 2 wrote its long integers with an L.
      const digits = (this.#match(/(\d{1,16})L?/y) ?? this.fail('a size of at most 16 digits'))[1]!;
      dims.push(Number(digits));
      if (dims.length > 32) throw new NpyDictError('its shape has more than 32 dimensions');
      // (3) is a number in Python, (3,) a tuple.
      if (!this.take(',') && (dims.length === 1 || !this.peek(')'))) this.fail("','");
    }
    return dims;
  }

  end(): void {
    this.peek('');
    if (this.#at < this.#text.length) this.fail('nothing more');
  }

  fail(wanted: string): never {
    const found = this.#text.slice(this.#at, this.#at + 20);
    throw new NpyDictError(
      `${wanted} was expected at character ${this.#at}, where it has ${JSON.stringify(found)}`,
    );
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found) this.#at = pattern.lastIndex;
    return found;
  }
}
