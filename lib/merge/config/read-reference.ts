import { readFields, readText } from './keys.js';
import { type ModelReference, parseModelReference, type RevisedPath } from './model-reference.js';
import type { Problems } from './problems.js';
import type { YamlNode } from './yaml-nodes.js';

/** What reading a configuration needs to know of its surroundings. */
export interface ReadContext {
  readonly problems: Problems;
  readonly exists: (path: string) => boolean;
  /** Names of the file's documents. */
  readonly documents: ReadonlySet<string>;
}

/** A model reference as text or as a mapping; undefined after a problem. */
export function readReference(
  node: YamlNode,
  what: string,
  context: ReadContext,
): ModelReference | undefined {
  const { problems, exists, documents } = context;
  if (node.kind === 'map') return readMapping(node, what, context);
  const text = readText(node, what, problems);
  if (text === undefined) return undefined;
  const [path, ...lora] = text.split('+');
  if (documents.has(path!)) {
    if (lora.length === 0) return { model: { path: path! }, document: true };
    if (lora.length === 1) {
      const adapter = parseModelReference(lora[0]!, exists);
      if (typeof adapter !== 'string' && !adapter.lora) {
        return { model: { path: path! }, lora: adapter.model, document: true };
      }
    }
  }
  const reference = parseModelReference(text, exists);
  if (typeof reference !== 'string') return reference;
  problems.add(
    node.place,
    `${what}: ${reference}`,
    'Write path[@revision][+adapter[@revision]], or a mapping `{model: {path: …, revision: …}, lora: …}` if names contain @ or +.',
  );
  return undefined;
}

function readMapping(node: YamlNode, what: string, context: ReadContext): ModelReference | undefined {
  const { problems, documents } = context;
  const fields = readFields(node, 'reference', problems);
  const [model, lora, architecture] = ['model', 'lora', 'override_architecture'].map((key) =>
    fields?.values.get(key),
  );
  if (!model) {
    problems.add(node.place, `${what} names no model`, 'Add `model:` with a path.');
    return undefined;
  }
  const path = readPath(model, what, problems);
  const adapter =
    lora && !(lora.kind === 'scalar' && lora.value.kind === 'null') && readPath(lora, what, problems);
  if (!path) return undefined;
  if (architecture) {
    problems.warn(architecture.place, 'override_architecture has no effect: tensor names decide');
  }
  return {
    model: path,
    ...(adapter && { lora: adapter }),
    ...(architecture?.kind === 'scalar' && { overrideArchitecture: architecture.text }),
    ...(path.revision === undefined && documents.has(path.path) && { document: true as const }),
  };
}

/** Text is a path as it is: the mapping form is for names that the grammar would take apart. */
function readPath(node: YamlNode, what: string, problems: Problems): RevisedPath | undefined {
  if (node.kind !== 'map') {
    const path = readText(node, what, problems);
    return path === undefined ? undefined : { path };
  }
  const fields = readFields(node, 'path', problems);
  const path = fields?.values.get('path');
  if (!path) {
    problems.add(node.place, `${what} names no path`, 'Add `path:`.');
    return undefined;
  }
  const text = readText(path, what, problems);
  const revision = fields?.values.get('revision');
  const revised = revision && !(revision.kind === 'scalar' && revision.value.kind === 'null');
  const name = revised ? readText(revision, `revision of ${what}`, problems) : undefined;
  return text === undefined ? undefined : { path: text, ...(name !== undefined && { revision: name }) };
}
