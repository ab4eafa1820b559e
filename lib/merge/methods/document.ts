import { methods } from './registry.js';
import type { BaseRole, MethodSpec, ParameterSpec, Range } from './spec.js';

const baseText: Record<BaseRole, string> = {
  required: '`base_model` is required',
  optional: '`base_model` is optional and changes the formula',
  donor: '`base_model` only gives configuration and tokenizer, unless it is listed too',
};

/** In the table of methods. */
const baseWord: Record<BaseRole, string> = {
  required: 'required',
  optional: 'optional',
  donor: 'configuration only',
};

const intro = [
  'The methods that `merge_method` of a [merge file](merge-files.md) names. Values are given under `parameters`, one for',
  'each tensor or one for each model, as the column "per" says; [Parameters](merge-files.md#parameters) describes how.',
].join(' ');

const notation: readonly (readonly [string, string])[] = [
  ['r', 'the result for a tensor'],
  ['x_i, x', 'the tensor in model i, or in the only model besides the base'],
  ['b', 'the tensor in the base model'],
  ['d_i', "x_i - b, the model's task vector"],
  ['w_i', "the model's weight"],
  ['N', 'the number of models that have the tensor'],
  ['n', 'the number of elements of the tensor'],
  ['<u, v>', 'the inner product'],
  ['int', 'truncates to a whole number'],
];

const conventions = [
  'Norms and inner products run over the whole tensor unless something else is said. Everything is computed in f32, or in',
  'f64 where a tensor is F64, and rounded once ([numerics.md](numerics.md#merging-many-models-mergeh)).',
].join(' ');

/** `docs/methods.md`: a section per method, from the specs. */
export function methodsMarkdown(): string {
  return [
    '# Merge methods',
    '',
    '<!-- Written by `npm run docs` from lib/merge/methods. -->',
    '',
    ...wrap(intro),
    '',
    '| name | method | models | `base_model` |',
    '| --- | --- | --- | --- |',
    ...methods.map(
      (method) =>
        `| [\`${method.name}\`](#${method.name}) | ${method.title} | ${countText(method)} | ${baseWord[method.base]} |`,
    ),
    '',
    'The base is not counted among the models where it is required or optional.',
    '',
    '## Notation',
    '',
    '| symbol | meaning |',
    '| --- | --- |',
    ...notation.map(([symbol, meaning]) => `| \`${symbol}\` | ${meaning} |`),
    '',
    ...wrap(conventions),
    '',
    ...methods.flatMap(section),
  ].join('\n');
}

function section(method: MethodSpec): string[] {
  const { name, title, summary, formula, source, statistics, differences, parameters } = method;
  const lines = [`## ${name}`, '', ...wrap(`**${title}.** ${summary}`), '', '```text', ...formula, '```', ''];
  lines.push(`Models: ${modelsText(method)}.`, '');
  if (statistics) {
    const { key, doc } = statistics;
    const needed = `${doc[0]!.toLowerCase()}${doc.slice(1)}`;
    lines.push(...wrap(`Every model needs the key \`${key}\` beside \`model\`: ${needed}`), '');
  }
  if (parameters.length > 0) {
    lines.push(
      '| parameter | per | type | default | allowed | meaning |',
      '| --- | --- | --- | --- | --- | --- |',
    );
    lines.push(...parameters.map(row), '');
  }
  const { arxiv, url } = source;
  const link = arxiv === undefined ? url : `https://arxiv.org/abs/${arxiv}`;
  const place = source.section === undefined ? '' : `, “${source.section}”`;
  const number = arxiv === undefined ? '' : `, arXiv ${arxiv}`;
  lines.push(...wrap(`Source: [${source.title}](${link})${number}${place}.`), '');
  if (differences.length > 0) {
    lines.push(
      'Differences from mergekit 0.1.4:',
      '',
      ...differences.flatMap((line) => wrap(line, '- ')),
      '',
    );
  }
  return lines;
}

function countText({ models: { min, max } }: MethodSpec): string {
  if (max === undefined) return `${min} or more`;
  return max === min ? `${min}` : `${min} to ${max}`;
}

function modelsText(method: MethodSpec): string {
  const besides = method.base === 'donor' ? '' : ' besides the base';
  return `${countText(method)}${besides}; ${baseText[method.base]}`;
}

function row({ name, scope, type, default: initial, optional, range, ignored, doc }: ParameterSpec): string {
  let value = initial === undefined ? (optional ? 'none' : 'required') : String(initial);
  if (type === 'boolean' && initial !== undefined) value = initial === 1 ? 'true' : 'false';
  const scopeText = scope === 'model' ? 'model' : 'tensor';
  const meaning = ignored === undefined ? doc : `Accepted without effect: ${ignored}.`;
  const allowed = type === 'boolean' ? 'true, false' : formatRange(range);
  return `| \`${name}\` | ${scopeText} | ${type} | ${value} | ${allowed} | ${meaning} |`;
}

/** Columns of running text. */
const width = 105;

/** Breaks a paragraph into lines; those after the first are indented below a bullet. */
function wrap(text: string, bullet = ''): string[] {
  const lines: string[] = [];
  let line = bullet;
  for (const word of text.split(' ')) {
    if (line.length + word.length > width && line.trim() !== bullet.trim()) {
      lines.push(line.trimEnd());
      line = ' '.repeat(bullet.length);
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()];
}

/** An interval in words: `[0, 1]`, `> 0`, `any`. */
export function formatRange(range: Range | undefined): string {
  if (range === undefined) return 'any';
  const { min, max, open } = range;
  const [openMin, openMax] = [open === 'min' || open === 'both', open === 'max' || open === 'both'];
  if (max === undefined) return openMin ? `above ${min}` : `${min} or more`;
  if (min === undefined) return openMax ? `below ${max}` : `${max} or less`;
  return `${openMin ? '(' : '['}${min}, ${max}${openMax ? ')' : ']'}`;
}

/** Whether a value lies in an interval. */
export function inRange(value: number, { min, max, open }: Range): boolean {
  if (min !== undefined && (value < min || (value === min && (open === 'min' || open === 'both'))))
    return false;
  return !(max !== undefined && (value > max || (value === max && (open === 'max' || open === 'both'))));
}
