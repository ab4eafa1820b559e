import {
  type Alias,
  Composer,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Scalar,
  visit,
} from 'yaml';
import type { Place, Problems } from './problems.js';
import { parseTokens } from './yaml-depth.js';
import { readScalar, readTagged, type ScalarValue, scalarTags } from './yaml-scalar.js';

/** A YAML document with aliases and merge keys resolved, every node with its place. */
export type YamlNode = YamlScalar | YamlMap | YamlList;

export interface YamlScalar {
  readonly kind: 'scalar';
  /** As written, without quotes. */
  readonly text: string;
  readonly value: ScalarValue;
  readonly place: Place;
}

export interface YamlEntry {
  readonly key: string;
  readonly keyPlace: Place;
  readonly value: YamlNode;
}

export interface YamlMap {
  readonly kind: 'map';
  readonly entries: readonly YamlEntry[];
  readonly place: Place;
}

export interface YamlList {
  readonly kind: 'list';
  readonly items: readonly YamlNode[];
  readonly place: Place;
}

/** Nodes after aliases are resolved: aliases of aliases grow exponentially. */
const maxNodes = 100_000;
const maxDepth = 32;
/** Of one document: each error of syntax brings others with it. */
const maxErrors = 10;

/** Parses all documents of a file. Syntax errors and duplicate keys go to `problems`. */
export function parseYaml(source: string, problems: Problems): YamlNode[] {
  const lines = new LineCounter();
  // The failsafe schema leaves all scalars as they were written; their types are those of YAML 1.1.
  const documents = parseDocuments(source, lines, problems);
  const nodes: YamlNode[] = [];
  for (const document of documents) {
    // A tag that the schema does not have is a warning to the parser.
    for (const { message, pos } of [...document.errors, ...document.warnings].slice(0, maxErrors)) {
      problems.add(
        new Converter(document, lines, problems).placeAt(pos[0]),
        `not valid YAML: ${message.trim()}`,
        'Mend the syntax; nothing else of the file can be checked before.',
      );
    }
    if (document.errors.length === 0) nodes.push(new Converter(document, lines, problems).root());
  }
  return nodes;
}

function parseDocuments(source: string, lines: LineCounter, problems: Problems): Document.Parsed[] {
  const { tokens, deep } = parseTokens(source, lines.addNewLine);
  if (deep !== undefined) {
    problems.add(placeOf(lines, deep), 'the file is nested too deeply', 'Write it out with less nesting.');
    return [];
  }
  const composer = new Composer({
    schema: 'failsafe',
    customTags: scalarTags.map((tag) => ({ tag, resolve: (text: string) => text })),
    prettyErrors: false,
    uniqueKeys: false,
  });
  return [...composer.compose(tokens)];
}

function placeOf(lines: LineCounter, offset: number): Place {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}

class Converter {
  readonly #document: Document.Parsed;
  readonly #lines: LineCounter;
  readonly #problems: Problems;
  readonly #targets = new Map<Alias, Node>();
  #left = maxNodes;
  #reported = false;

  constructor(document: Document.Parsed, lines: LineCounter, problems: Problems) {
    this.#document = document;
    this.#lines = lines;
    this.#problems = problems;
    // One pass in the order of the document: an alias means the last anchor of its name before it.
    const anchors = new Map<string, Node>();
    visit(document, {
      Node: (_key, node) => {
        if (!isAlias(node)) {
          if (node.anchor !== undefined) anchors.set(node.anchor, node);
        } else if (anchors.has(node.source)) this.#targets.set(node, anchors.get(node.source)!);
      },
    });
  }

  placeAt(offset: number): Place {
    return placeOf(this.#lines, offset);
  }

  root(): YamlNode {
    const { contents, range } = this.#document;
    return this.#convert(contents, this.placeAt(range[0]), 0);
  }

  #convert(node: Node | null, fallback: Place, depth: number): YamlNode {
    const place = node?.range ? this.placeAt(node.range[0]) : fallback;
    const empty: YamlScalar = { kind: 'scalar', text: '', value: { kind: 'null' }, place };
    if (--this.#left < 0 || depth > maxDepth) {
      if (!this.#reported) {
        this.#problems.add(
          place,
          'the file is nested too deeply or grows too large by its aliases',
          'Write it out with fewer aliases.',
        );
      }
      this.#reported = true;
      return empty;
    }
    if (isAlias(node)) {
      const target = this.#targets.get(node);
      if (target) return this.#convert(target, place, depth + 1);
      this.#problems.add(place, `there is no anchor &${node.source}`, 'Define it before it is used.');
      return empty;
    }
    if (isScalar(node)) {
      return this.#scalar(node, place);
    }
    if (isSeq(node)) {
      return {
        kind: 'list',
        items: node.items.map((item) => this.#convert(item as Node | null, place, depth + 1)),
        place,
      };
    }
    if (isMap(node)) return { kind: 'map', entries: this.#entries(node.items, place, depth), place };
    return empty;
  }

  #scalar({ value: held, type, tag }: Scalar, place: Place): YamlScalar {
    const text = String(held ?? '');
    if (tag === undefined || !scalarTags.includes(tag)) {
      return { kind: 'scalar', text, value: readScalar(text, type === 'PLAIN' || type === undefined), place };
    }
    const value = readTagged(text, tag);
    if (value === undefined) {
      const name = tag.split(':').at(-1)!;
      this.#problems.add(
        place,
        `"${text}" is no ${name}, as !!${name} says it is`,
        'Correct it, or leave out the tag.',
      );
    }
    return { kind: 'scalar', text, value: value ?? { kind: 'null' }, place };
  }

  #entries(pairs: readonly { key: unknown; value: unknown }[], place: Place, depth: number): YamlEntry[] {
    const entries = new Map<string, YamlEntry>();
    const merged: YamlEntry[] = [];
    for (const pair of pairs) {
      if (this.#reported) break;
      const key = this.#convert(pair.key as Node | null, place, depth + 1);
      const value = this.#convert(pair.value as Node | null, key.place, depth + 1);
      if (key.kind !== 'scalar') {
        this.#problems.add(key.place, 'a key is a list or a mapping', 'Keys are words.');
      } else if (key.text === '<<' && value.kind !== 'scalar') {
        for (const map of value.kind === 'list' ? value.items : [value]) {
          if (map.kind === 'map') merged.push(...map.entries);
          else
            this.#problems.add(
              map.place,
              '"<<" does not refer to a mapping',
              'Let it refer to an anchored mapping.',
            );
        }
      } else if (entries.has(key.text)) {
        const { line } = entries.get(key.text)!.keyPlace;
        this.#problems.add(
          key.place,
          `"${key.text}" is given twice; first in line ${line}`,
          'Remove one of them.',
        );
      } else {
        entries.set(key.text, { key: key.text, keyPlace: key.place, value });
      }
    }
    // What is written out wins over what is merged in, and the first of several over the others.
    for (const entry of merged) if (!entries.has(entry.key)) entries.set(entry.key, entry);
    return [...entries.values()];
  }
}
