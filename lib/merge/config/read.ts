import { existsSync } from 'node:fs';
import { isPlainFileName } from '../../checkpoint/index-file.js';
import type { DTypeName } from '../../native.js';
import { findMethod, methods } from '../methods/registry.js';
import type { MethodSpec } from '../methods/spec.js';
import { dtypeNames } from '../options.js';
import { checkConfig } from './check.js';
import type { MergeConfig } from './config.js';
import { orderDocuments, unnamedDocument } from './documents.js';
import { type Fields, isNull, readFields, readText } from './keys.js';
import { Problems } from './problems.js';
import { type ReadContext, readReference } from './read-reference.js';
import { parametersOf, readModules } from './read-slices.js';
import { readTokenizer } from './read-tokenizer.js';
import { nearest } from './suggest.js';
import { readYamlFile } from './yaml-file.js';
import { parseYaml, type YamlNode } from './yaml-nodes.js';

/** Of what a configuration refers to, for tests; default: the file system, from the working directory. */
export interface ReadOptions {
  readonly exists?: (path: string) => boolean;
}

const templates = ['auto', 'alpaca', 'chatml', 'exaone', 'llama3', 'mistral'];

/**
 * Reads a merge configuration: one document, or several that may refer to each other by `name`, in an order
 * in which they can be merged. Throws WisemergeError: ERR_MERGE_FILE with everything that is wrong, ERR_USAGE, ERR_IO.
 */
export async function readMergeFile(path: string, options: ReadOptions = {}): Promise<MergeConfig[]> {
  const hint =
    'Describe a merge in YAML; two models alone are merged with --zeroshot, --finetuned, --alpha and --out.';
  return parseMergeFile(await readYamlFile(path, hint), path, options);
}

/** The same from text; `file` stands in messages. */
export function parseMergeFile(source: string, file: string, options: ReadOptions = {}): MergeConfig[] {
  const problems = new Problems(file);
  const nodes = parseYaml(source, problems).filter((node) => !isNull(node));
  if (nodes.length === 0 && problems.list.length === 0) {
    problems.add({ line: 1, column: 1 }, 'the file is empty', 'Name a merge_method and models.');
  }
  const context = {
    problems,
    exists: options.exists ?? existsSync,
    documents: documentNames(nodes, problems),
  };
  const configs = nodes.flatMap((node) => readDocument(node, source, context) ?? []);
  problems.throwIfAny();
  const ordered = orderDocuments(configs, problems);
  problems.throwIfAny();
  return ordered;
}

function documentNames(nodes: readonly YamlNode[], problems: Problems): Set<string> {
  const names = new Set<string>();
  for (const node of nodes) {
    const entry = node.kind === 'map' ? node.entries.find(({ key }) => key === 'name') : undefined;
    if (entry?.value.kind !== 'scalar' || isNull(entry.value)) continue;
    const { text, place } = entry.value;
    if (names.has(text)) problems.add(place, `two documents are named "${text}"`, 'Rename one of them.');
    if (!isPlainFileName(text) || text.startsWith('.')) {
      problems.add(
        place,
        `name ${JSON.stringify(text)} cannot be that of a directory`,
        'The result is written to a directory of this name: use letters, digits, - and _.',
      );
    }
    names.add(text);
  }
  checkUnnamed(nodes, names, problems);
  return names;
}

/** Of several documents, the one without a name is written to a directory of its own name. */
function checkUnnamed(nodes: readonly YamlNode[], names: ReadonlySet<string>, problems: Problems): void {
  const unnamed = nodes.filter(
    (node) => node.kind === 'map' && isNull(node.entries.find(({ key }) => key === 'name')?.value),
  );
  if (nodes.length < 2 || unnamed.length === 0) return;
  const [first, second] = unnamed;
  if (second) {
    problems.add(second.place, 'more than one document has no name', 'Give all but the last a `name:`.');
  } else if (names.has(unnamedDocument)) {
    problems.add(
      first!.place,
      `this document has no name, and another is named "${unnamedDocument}"`,
      'Give it a `name:`, or rename the other.',
    );
  }
}

function readDocument(node: YamlNode, text: string, shared: ReadContext): MergeConfig | undefined {
  const { problems } = shared;
  const earlier = problems.warnings.length;
  const fields = readFields(node, 'document', problems);
  if (!fields) return undefined;
  const method = readMethod(fields, problems);
  const context = { ...shared, method };
  const modules = readModules(fields, context);
  const parameters = parametersOf(fields, 'the top level', context);
  const given = fields.values.get('base_model');
  const base = isNull(given) ? undefined : readReference(given!, 'base_model', context);
  const [dtype, outDtype] = [readDtype(fields, 'dtype', problems), readDtype(fields, 'out_dtype', problems)];
  const tokenizer = readTokenizer(fields, context);
  const chatTemplate = readTemplate(fields, problems);
  const name = fields.values.get('name');
  const named = isNull(name) ? undefined : readText(name!, 'name', problems);
  if (!method) return undefined;
  const config: MergeConfig = {
    file: problems.file,
    text,
    place: fields.place,
    ...(named !== undefined && { name: named }),
    method: method.name,
    methodPlace: fields.places.get('merge_method')!,
    ...(base && { base }),
    modules,
    parameters,
    ...(dtype && { dtype }),
    ...(outDtype && { outDtype }),
    ...(tokenizer && { tokenizer }),
    ...(chatTemplate !== undefined && { chatTemplate }),
    warnings: [],
  };
  // What follows from entries that could not be read would only be noise.
  if (problems.list.length === 0) checkConfig(config, method, problems);
  return { ...config, warnings: problems.warnings.slice(earlier) };
}

function readMethod(fields: Fields, problems: Problems): MethodSpec | undefined {
  const node = fields.values.get('merge_method');
  if (isNull(node)) {
    problems.add(
      fields.place,
      'merge_method is missing',
      `Name one of ${methods.map(({ name }) => name).join(', ')}.`,
    );
    return undefined;
  }
  const name = readText(node!, 'merge_method', problems);
  if (name === undefined) return undefined;
  const method = findMethod(name);
  if (method) return method;
  const names = methods.map((one) => one.name);
  const near = nearest(name, names);
  problems.add(
    node!.place,
    `unknown merge_method "${name}"`,
    near ? `Did you mean "${near}"?` : `Known are ${names.join(', ')}.`,
  );
  return undefined;
}

function readDtype(fields: Fields, key: 'dtype' | 'out_dtype', problems: Problems): DTypeName | undefined {
  const node = fields.values.get(key);
  if (isNull(node)) return undefined;
  const text = readText(node!, key, problems);
  if (text === undefined) return undefined;
  const name = text.replace(/^torch\./, '');
  if (Object.hasOwn(dtypeNames, name)) return dtypeNames[name as keyof typeof dtypeNames];
  const known = Object.keys(dtypeNames).filter((one) => one.startsWith('float') || one.startsWith('bfloat'));
  const near = nearest(name, known);
  problems.add(
    node!.place,
    `${key}: "${text}" is not a dtype that weights are written in`,
    near ? `Did you mean "${near}"?` : `Write one of ${known.join(', ')}.`,
  );
  return undefined;
}

function readTemplate(fields: Fields, problems: Problems): string | undefined {
  const node = fields.values.get('chat_template');
  if (isNull(node)) return undefined;
  const text = readText(node!, 'chat_template', problems);
  if (text === undefined || templates.includes(text) || (text.length >= 20 && text.includes('{')))
    return text;
  const near = nearest(text, templates);
  problems.add(
    node!.place,
    'chat_template is neither a known template nor a Jinja template of 20 characters or more',
    near ? `Did you mean "${near}"?` : `Known are ${templates.join(', ')}.`,
  );
  return undefined;
}
