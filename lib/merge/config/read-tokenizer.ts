import { type Fields, isNull, readEntries, readFields, readText } from './keys.js';
import type { Problems } from './problems.js';
import { type ReadContext, readReference } from './read-reference.js';
import { nearest } from './suggest.js';
import type { TokenConfig, TokenizerConfig, TokenizerSource, TokenSource } from './tokenizer.js';
import type { YamlEntry, YamlNode } from './yaml-nodes.js';
import { toNumber } from './yaml-scalar.js';

/** `tokenizer_source` or `tokenizer` of a document, which exclude each other. */
export function readTokenizer(fields: Fields, context: ReadContext): TokenizerConfig | undefined {
  const [short, long] = [fields.values.get('tokenizer_source'), fields.values.get('tokenizer')];
  if (!isNull(short) && !isNull(long)) {
    context.problems.add(
      fields.places.get('tokenizer')!,
      'tokenizer and tokenizer_source are both given',
      'Keep one: `tokenizer: {source: …}` says the same as tokenizer_source.',
    );
  }
  if (!isNull(short)) {
    const source = readSource(short!, 'tokenizer_source', context);
    return source && { place: short!.place, source, tokens: [] };
  }
  if (isNull(long)) return undefined;
  return readLong(long!, context);
}

function readLong(node: YamlNode, context: ReadContext): TokenizerConfig | undefined {
  const fields = readFields(node, 'tokenizer', context.problems);
  if (!fields) return undefined;
  const [given, tokens, multiple] = ['source', 'tokens', 'pad_to_multiple_of'].map((key) =>
    fields.values.get(key),
  );
  const source = isNull(given) ? 'union' : readSource(given!, 'tokenizer.source', context);
  const list = isNull(tokens) ? [] : readEntries(tokens!, 'tokenizer.tokens', context.problems);
  const padToMultipleOf = isNull(multiple)
    ? undefined
    : readWhole(multiple!, 'pad_to_multiple_of', 1, context.problems);
  return {
    place: node.place,
    source: source ?? 'union',
    tokens: list.map((entry) => readToken(entry, context)),
    ...(padToMultipleOf !== undefined && { padToMultipleOf }),
  };
}

function readSource(node: YamlNode, what: string, context: ReadContext): TokenizerSource | undefined {
  if (node.kind === 'scalar') {
    if (node.text === 'union' || node.text === 'base') return node.text;
    if (node.text.startsWith('model:') && !context.exists(node.text)) {
      context.problems.add(
        node.place,
        `${what}: "model:" before a path is no longer written`,
        `Write ${node.text.slice('model:'.length)} alone.`,
      );
      return undefined;
    }
    // A misspelled word would be looked for as a model.
    const near = nearest(node.text, ['union', 'base']);
    if (near !== undefined && !context.exists(node.text) && !context.documents.has(node.text)) {
      context.problems.add(
        node.place,
        `${what}: there is no model "${node.text}"`,
        `Did you mean "${near}"?`,
      );
      return undefined;
    }
  }
  return readReference(node, what, context);
}

function readToken({ key: token, keyPlace, value }: YamlEntry, context: ReadContext): TokenConfig {
  const fields = readFields(value, 'token', context.problems);
  const [source, force] = [fields?.values.get('source'), fields?.values.get('force')];
  let forced = false;
  if (!isNull(force)) {
    if (force!.kind === 'scalar' && force!.value.kind === 'boolean') forced = force!.value.value;
    else context.problems.add(force!.place, `force of ${token} is not true or false`, 'Write true or false.');
  }
  const from = isNull(source) ? undefined : readTokenSource(source!, token, context);
  return { token, place: keyPlace, ...(from && { source: from }), force: forced };
}

function readTokenSource(node: YamlNode, token: string, context: ReadContext): TokenSource | undefined {
  const { problems } = context;
  const isKind = node.kind === 'map' && node.entries.some(({ key }) => key === 'kind');
  if (!isKind) {
    const model = readReference(node, `source of token ${token}`, context);
    return model && { kind: 'model', model };
  }
  const fields = readFields(node, 'tokenSource', problems)!;
  const kind = readText(fields.values.get('kind')!, `kind of token ${token}`, problems);
  if (kind === 'zero') return { kind };
  if (kind !== 'model_token') {
    const near = kind === undefined ? undefined : nearest(kind, ['zero', 'model_token']);
    problems.add(
      node.place,
      `kind of token ${token} is neither zero nor model_token`,
      near ? `Did you mean "${near}"?` : 'Write one of them.',
    );
    return undefined;
  }
  const [model, name, id] = ['model', 'token', 'token_id'].map((key) => fields.values.get(key));
  if (isNull(name) === isNull(id)) {
    problems.add(
      node.place,
      `the source of token ${token} needs either token or token_id`,
      'Give exactly one.',
    );
    return undefined;
  }
  if (isNull(model)) {
    problems.add(node.place, `the source of token ${token} names no model`, 'Add `model:`.');
    return undefined;
  }
  const reference = readReference(model!, `model of token ${token}`, context);
  const text = isNull(name) ? undefined : readText(name!, `token of ${token}`, problems);
  const tokenId = isNull(id) ? undefined : readWhole(id!, `token_id of ${token}`, 0, problems);
  if (!reference || (text === undefined && tokenId === undefined)) return undefined;
  return {
    kind,
    model: reference,
    ...(text !== undefined && { token: text }),
    ...(tokenId !== undefined && { tokenId }),
  };
}

/** A whole number from `least` on. */
export function readWhole(
  node: YamlNode,
  what: string,
  least: number,
  problems: Problems,
): number | undefined {
  const value = node.kind === 'scalar' ? toNumber(node.value) : undefined;
  if (value !== undefined && Number.isSafeInteger(value) && value >= least) return value;
  const shown = node.kind === 'scalar' ? `"${node.text}"` : 'a list or mapping';
  problems.add(
    node.place,
    `${what} is ${shown}, not a whole number`,
    `Write a whole number from ${least} on.`,
  );
  return undefined;
}
