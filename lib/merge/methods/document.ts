import { methods } from './registry.js';
import type { BaseRole, MethodSpec, ParameterSpec, Range } from './spec.js';

const baseText: Record<BaseRole, string> = {
  required: '`base_model` is required',
  optional: '`base_model` is optional and changes the formula',
  donor: '`base_model` only gives configuration and tokenizer, unless it is listed too',
};

/** `docs/methods.md`: a section per method, from the specs. */
export function methodsMarkdown(): string {
  return [
    '# Merge methods',
    '',
    '<!-- Written by `npm run docs` from lib/merge/methods. -->',
    '',
    'x_i is a tensor of model i, b that of the base model, d_i = x_i - b its task vector, w_i its weight, N the number of',
    'models that have the tensor and n the number of its elements. Norms and inner products run over the whole tensor',
    'unless something else is said, `int` truncates, and <u, v> is the inner product. Everything is computed in f32, or in',
    'f64 where a tensor is F64, and rounded once.',
    '',
    '| name | method |',
    '| --- | --- |',
    ...methods.map(({ name, title }) => `| [\`${name}\`](#${name}) | ${title} |`),
    '',
    ...methods.flatMap(section),
  ].join('\n');
}

function section(method: MethodSpec): string[] {
  const { name, title, summary, formula, source, statistics, differences, parameters } = method;
  const lines = [`## ${name}`, '', `**${title}.** ${summary}`, '', '```text', ...formula, '```', ''];
  lines.push(`Models: ${modelsText(method)}.`, '');
  if (statistics)
    lines.push(`Every model has a key \`${statistics.key}\` beside \`model\`: ${statistics.doc}`, '');
  if (parameters.length > 0) {
    lines.push(
      '| parameter | for | type | default | allowed | meaning |',
      '| --- | --- | --- | --- | --- | --- |',
    );
    lines.push(...parameters.map(row), '');
  }
  const { arxiv, url } = source;
  const link = arxiv === undefined ? url : `https://arxiv.org/abs/${arxiv}`;
  const place = source.section === undefined ? '' : `, “${source.section}”`;
  const number = arxiv === undefined ? '' : `, arXiv ${arxiv}`;
  lines.push(`Source: [${source.title}](${link})${number}${place}.`, '');
  if (differences.length > 0) {
    lines.push('Other than in mergekit 0.1.4:', '', ...differences.map((line) => `- ${line}`), '');
  }
  return lines;
}

function modelsText({ base, models: { min, max } }: MethodSpec): string {
  const besides = base === 'donor' ? '' : ' besides the base';
  const count = max === undefined ? `${min} or more` : max === min ? `${min}` : `${min} to ${max}`;
  return `${count}${besides}; ${baseText[base]}`;
}

function row({ name, scope, type, default: initial, optional, range, ignored, doc }: ParameterSpec): string {
  let value = initial === undefined ? (optional ? 'none' : 'required') : String(initial);
  if (type === 'boolean' && initial !== undefined) value = initial === 1 ? 'true' : 'false';
  const scopeText = scope === 'model' ? 'each model' : 'the tensor';
  const meaning = ignored === undefined ? doc : `Accepted without effect: ${ignored}.`;
  const allowed = type === 'boolean' ? 'true, false' : formatRange(range);
  return `| \`${name}\` | ${scopeText} | ${type} | ${value} | ${allowed} | ${meaning} |`;
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
