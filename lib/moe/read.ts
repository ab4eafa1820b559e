import { existsSync } from 'node:fs';
import { type Fields, isNull, readFields, readList, readText } from '../merge/config/keys.js';
import { type Place, Problems } from '../merge/config/problems.js';
import { readReference } from '../merge/config/read-reference.js';
import { readWhole } from '../merge/config/read-tokenizer.js';
import { nearest } from '../merge/config/suggest.js';
import { readYamlFile } from '../merge/config/yaml-file.js';
import { parseYaml, type YamlNode } from '../merge/config/yaml-nodes.js';
import { toNumber } from '../merge/config/yaml-scalar.js';
import { dtypeNames } from '../merge/options.js';
import { checkDifferences, checkPrompts } from './check-experts.js';
import {
  type ArchitectureName,
  architectureNames,
  type ExpertConfig,
  type GateMode,
  gateModes,
  type MoeConfig,
} from './config.js';

const dtypes = ['float32', 'float16', 'bfloat16'] as const;
const defaultPerToken = 2;

/** Reads a file that describes a mixture of experts. Throws ERR_MERGE_FILE with everything that is wrong, ERR_USAGE, ERR_IO. */
export async function readMoeFile(path: string): Promise<MoeConfig> {
  const source = await readYamlFile(
    path,
    'Describe a mixture of experts in YAML: base_model, gate_mode, experts.',
  );
  return parseMoeFile(source, path);
}

/** The same from text; `file` stands in messages. */
export function parseMoeFile(
  source: string,
  file: string,
  exists: (path: string) => boolean = existsSync,
): MoeConfig {
  const problems = new Problems(file);
  const nodes = parseYaml(source, problems).filter((node) => !isNull(node));
  problems.throwIfAny();
  if (nodes.length !== 1) {
    const why = nodes.length === 0 ? 'the file is empty' : `the file holds ${nodes.length} documents`;
    problems.add(nodes[1]?.place ?? { line: 1, column: 1 }, why, 'Describe one mixture of experts.');
  }
  const config = nodes[0] && new Reader(problems, exists).read(nodes[0]);
  problems.throwIfAny();
  return { ...config!, warnings: problems.warnings };
}

class Reader {
  readonly #problems: Problems;
  readonly #exists: (path: string) => boolean;
  /** Experts whose prompts have been reported. */
  readonly #unreadable = new Set<Place>();

  constructor(problems: Problems, exists: (path: string) => boolean) {
    this.#problems = problems;
    this.#exists = exists;
  }

  read(node: YamlNode): Omit<MoeConfig, 'warnings'> | undefined {
    const problems = this.#problems;
    const fields = readFields(node, 'moe', problems);
    if (!fields) return undefined;
    const { values, places } = fields;
    const base = this.#required(
      fields,
      'base_model',
      'Name the model that gives attention, norms and embeddings.',
    );
    const reference = base && this.#reference(base, 'base_model');
    const list = this.#required(fields, 'experts', 'List the models whose MLPs become experts.');
    const experts = list ? this.#experts(list, 'experts') : [];
    const given = values.get('shared_experts');
    const shared = isNull(given) ? [] : this.#experts(given!, 'shared_experts');
    const gateMode = this.#oneOf(fields, 'gate_mode', gateModes) ?? 'hidden';
    const dtype = this.#dtype(fields);
    const architecture = this.#oneOf(fields, 'architecture', architectureNames);
    const perToken = this.#perToken(fields, experts.length, list !== undefined);
    const all = [...experts, ...shared];
    const readable = all.filter((expert) => !this.#unreadable.has(expert.place));
    for (const expert of readable) checkPrompts(expert, gateMode, experts.includes(expert), problems);
    if (readable.length === all.length) checkDifferences(experts, gateMode, problems);
    if (!reference) return undefined;
    return {
      file: problems.file,
      place: fields.place,
      base: reference,
      basePlace: places.get('base_model')!,
      experts,
      shared,
      gateMode,
      ...(dtype && { dtype: dtypeNames[dtype] }),
      expertsPerToken: perToken,
      ...(architecture && { architecture, architecturePlace: places.get('architecture')! }),
    };
  }

  #required({ place, values }: Fields, key: string, fix: string): YamlNode | undefined {
    const node = values.get(key);
    if (!isNull(node)) return node;
    this.#problems.add(place, `${key} is missing`, fix);
    return undefined;
  }

  #reference(node: YamlNode, what: string) {
    return readReference(node, what, {
      problems: this.#problems,
      exists: this.#exists,
      documents: new Set(),
    });
  }

  #experts(node: YamlNode, what: string): ExpertConfig[] {
    return readList(node, what, this.#problems).flatMap((item) => this.#expert(item) ?? []);
  }

  #expert(node: YamlNode): ExpertConfig | undefined {
    const fields = readFields(node, 'expert', this.#problems);
    if (!fields) return undefined;
    const source = this.#required(fields, 'source_model', 'Name the model whose MLP it is.');
    const model = source && this.#reference(source, 'source_model');
    const expert = {
      place: fields.place,
      positive: this.#prompts(fields, 'positive_prompts'),
      negative: this.#prompts(fields, 'negative_prompts'),
      noise: this.#number(fields, 'noise_scale', 0, 0),
      scale: this.#number(fields, 'residual_scale', 1),
    };
    return model && { ...expert, model };
  }

  #prompts({ values, place }: Fields, key: string): string[] {
    const node = values.get(key);
    if (isNull(node)) return [];
    const before = this.#problems.list.length;
    const prompts = readList(node!, key, this.#problems).flatMap(
      (item) => this.#prompt(item, `an entry of ${key}`) ?? [],
    );
    if (this.#problems.list.length > before) this.#unreadable.add(place);
    return prompts;
  }

  /** Empty text is a prompt, too: what a text begins with. */
  #prompt(node: YamlNode, what: string): string | undefined {
    if (node.kind === 'scalar' && node.value.kind !== 'null' && node.text === '') return '';
    return readText(node, what, this.#problems);
  }

  #number({ values }: Fields, key: string, otherwise: number, least = Number.NEGATIVE_INFINITY): number {
    const node = values.get(key);
    if (isNull(node)) return otherwise;
    const value = node!.kind === 'scalar' ? toNumber(node!.value) : undefined;
    if (value !== undefined && Number.isFinite(value) && value >= least) return value;
    const shown = node!.kind === 'scalar' ? `"${node!.text}"` : 'a list or mapping';
    const wanted = least === 0 ? 'a number from 0' : 'a number';
    this.#problems.add(node!.place, `${key} is ${shown}, not ${wanted}`, `Write ${wanted}.`);
    return otherwise;
  }

  #oneOf<Name extends ArchitectureName | GateMode>(
    { values }: Fields,
    key: string,
    names: readonly Name[],
  ): Name | undefined {
    const node = values.get(key);
    const text = isNull(node) ? undefined : readText(node!, key, this.#problems);
    if (text === undefined) return undefined;
    const found = names.find((name) => name === text);
    if (found) return found;
    const near = nearest(text, names);
    this.#problems.add(
      node!.place,
      `${key}: there is no "${text}" here`,
      near ? `Did you mean "${near}"?` : `Known are ${names.join(', ')}.`,
    );
    return undefined;
  }

  #dtype({ values }: Fields): (typeof dtypes)[number] | undefined {
    const node = values.get('dtype');
    const text = isNull(node) ? undefined : readText(node!, 'dtype', this.#problems);
    if (text === undefined) return undefined;
    const found = dtypes.find((name) => name === text.replace(/^torch\./, ''));
    if (found) return found;
    const near = nearest(text, dtypes);
    this.#problems.add(
      node!.place,
      `dtype: "${text}" is not a dtype that mixtures of experts are written in`,
      near ? `Did you mean "${near}"?` : `Write one of ${dtypes.join(', ')}.`,
    );
    return undefined;
  }

  #perToken({ values, place }: Fields, experts: number, listed: boolean): number {
    const node = values.get('experts_per_token');
    const given = isNull(node) ? undefined : readWhole(node!, 'experts_per_token', 1, this.#problems);
    const perToken = given ?? defaultPerToken;
    // An entry that could not be read has been reported.
    if (!listed || this.#problems.list.length > 0 || perToken <= experts) return perToken;
    this.#problems.add(
      node?.place ?? place,
      `${perToken} experts per token of ${experts}`,
      'List more experts, or lower experts_per_token.',
    );
    return perToken;
  }
}
