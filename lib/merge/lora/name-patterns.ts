/** In these the only letter with a meaning of its own is the dot: any letter. */
const plain = /^[\w.-]+$/;

/** Plain keys whose dots are in the same places, and the place of each among all keys. */
interface SameDots {
  readonly dots: readonly number[];
  readonly places: Map<string, number>;
}

/**
 * Keys as PEFT has them in `rank_pattern`: regular expressions that fit a name from its start or after a dot, of which
 * the first counts. Models have as many keys as modules, so that plain ones are looked up: such a key fits what is as long
 * and, with dots in its places, equal. That gives what testing each key gives, for names without line ends, which a dot does
 * not stand for and no module has.
 */
export class NamePatterns {
  readonly #plain = new Map<number, Map<string, SameDots>>();
  readonly #others: { readonly regex: RegExp; readonly place: number }[] = [];

  /** Throws SyntaxError for a key that is no regular expression. */
  constructor(keys: readonly string[]) {
    for (const [place, key] of keys.entries()) {
      if (plain.test(key)) this.#add(key, place);
      else this.#others.push({ regex: new RegExp(`^(?:.*\\.)?(?:${key})$`), place });
    }
  }

  #add(key: string, place: number): void {
    const ofLength = this.#plain.get(key.length) ?? new Map<string, SameDots>();
    this.#plain.set(key.length, ofLength);
    const dots = [...key].flatMap((letter, i) => (letter === '.' ? [i] : []));
    const same = ofLength.get(dots.join()) ?? { dots, places: new Map() };
    ofLength.set(dots.join(), same);
    if (!same.places.has(key)) same.places.set(key, place);
  }

  /** The place of the first key that fits. */
  first(name: string): number | undefined {
    let first = Number.POSITIVE_INFINITY;
    for (let start = 0; ; ) {
      const end = name.slice(start);
      for (const { dots, places } of this.#plain.get(end.length)?.values() ?? []) {
        first = Math.min(first, places.get(withDots(end, dots)) ?? first);
      }
      const dot = name.indexOf('.', start);
      if (dot < 0) break;
      start = dot + 1;
    }
    const other = this.#others.find(({ regex, place }) => place > first || regex.test(name));
    if (other) first = Math.min(first, other.place);
    return Number.isFinite(first) ? first : undefined;
  }
}

function withDots(text: string, places: readonly number[]): string {
  let changed = '';
  let from = 0;
  for (const place of places) {
    changed += `${text.slice(from, place)}.`;
    from = place + 1;
  }
  return changed + text.slice(from);
}
