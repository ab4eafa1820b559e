// Files that describe mixtures of experts: what they mean, and what is said about those that are wrong.
import { describe, expect, it } from 'vitest';
import { WisemergeError } from '../../lib/errors.js';
import type { ConfigProblem } from '../../lib/merge/config/problems.js';
import { parseMoeFile } from '../../lib/moe/read.js';

const parse = (text: string) => parseMoeFile(text, 'moe.yml', () => false);
function said(text: string): string[] {
  try {
    parse(text);
    return [];
  } catch (error) {
    if (!(error instanceof WisemergeError) || error.code !== 'ERR_MERGE_FILE') throw error;
    const problems = error.details!.problems as ConfigProblem[];
    return problems.map(({ line, column, message, fix }) => `${line}:${column} ${message} | ${fix}`);
  }
}

const experts = `
experts:
  - source_model: a
    positive_prompts: ["one", two]
  - source_model: b+lora
    positive_prompts: [three]
    negative_prompts: [four]
    noise_scale: 1e-3
    residual_scale: 0.1
`;

describe('a file', () => {
  it('is read as mergekit has it', () => {
    const config = parse(
      `base_model: base@main\ngate_mode: cheap_embed\ndtype: torch.bfloat16\nexperts_per_token: 1\narchitecture: mixtral${experts}`,
    );
    expect(config).toMatchObject({
      base: { model: { path: 'base', revision: 'main' } },
      gateMode: 'cheap_embed',
      dtype: 'BF16',
      expertsPerToken: 1,
      architecture: 'mixtral',
      shared: [],
      experts: [
        { model: { model: { path: 'a' } }, positive: ['one', 'two'], negative: [], noise: 0, scale: 1 },
        {
          model: { lora: { path: 'lora' } },
          positive: ['three'],
          negative: ['four'],
          noise: 1e-3,
          scale: 0.1,
        },
      ],
    });
    expect(parse(`base_model: base${experts}`)).toMatchObject({ gateMode: 'hidden', expertsPerToken: 2 });
  });

  it('may name a model twice, to start training from', () => {
    const config = parse(
      'base_model: a\ngate_mode: random\nexperts: [{ source_model: a }, { source_model: a }]',
    );
    expect(config.experts).toHaveLength(2);
  });

  it.each(['hidden', 'hidden_avg', 'hidden_last', 'cheap_embed'])('may have gate_mode %s', (mode) => {
    expect(parse(`base_model: base\ngate_mode: ${mode}${experts}`)).toMatchObject({ gateMode: mode });
  });

  it('may have an empty prompt, and the same prompts for some experts', () => {
    const expert = (model: string, prompt: string) =>
      `{ source_model: ${model}, positive_prompts: [${prompt}] }`;
    const list = [expert('a', '""'), expert('b', "''"), expert('c', 'x')].join(', ');
    const config = parse(`base_model: a\nexperts: [${list}]`);
    expect(config.experts.map(({ positive }) => positive)).toEqual([[''], [''], ['x']]);
    expect(config.warnings).toEqual([]);
  });

  it('is told of experts that are one model, unless they differ or are to be trained', () => {
    const two = (rest: string, mode = 'hidden') =>
      parse(
        `base_model: m\ngate_mode: ${mode}\nexperts:\n  - { source_model: a, positive_prompts: [x] }\n  - { source_model: a, positive_prompts: [y]${rest} }`,
      ).warnings;
    expect(two('')).toEqual([
      'moe.yml:5:5: all experts are a: the mixture answers as that does, with more memory, unless it is trained',
    ]);
    expect(two(', noise_scale: 0.1')).toEqual([]);
    expect(two(', residual_scale: 0.5')).toEqual([]);
    expect(two('', 'random').filter((line) => line.includes('all experts'))).toEqual([]);
  });

  it('is told what has no effect', () => {
    const { warnings } = parse(`base_model: base\ngate_mode: random${experts}`);
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toMatch(/^moe.yml:4:5: prompts have no effect with gate_mode random/);
  });
});

describe('a file is refused', () => {
  it.each<[string, string, (string | RegExp)[]]>([
    ['that is empty', '', [/^1:1 the file is empty/]],
    ['of two documents', `base_model: a${experts}---\nbase_model: a`, [/holds 2 documents/]],
    ['that is a list', '[1]', [/the top level of the file must be a mapping/]],
    ['without base and experts', 'gate_mode: hidden', [/base_model is missing/, /experts is missing/]],
    [
      'with an unknown key',
      `base_model: a\nexpert_per_token: 2${experts}`,
      [/^2:1 unknown key "expert_per_token".*Did you mean "experts_per_token"\?/],
    ],
    [
      'with a key in the wrong place',
      `base_model: a\nnoise_scale: 1${experts}`,
      [/"noise_scale" belongs in an expert/],
    ],
    [
      'with keys of merges',
      `base_model: a\nmerge_method: linear${experts}`,
      [/unknown key "merge_method" in the top level.*Known keys are base_model, experts/],
    ],
    [
      'with a misspelt prompt key',
      'base_model: a\nexperts:\n  - { source_model: a, positive_promts: [x] }\n  - { source_model: b, positive_prompts: [x] }',
      [/^3:24 .*Did you mean "positive_prompts"/, /no positive_prompts/],
    ],
    [
      'with another gate mode',
      `base_model: a\ngate_mode: hiden${experts}`,
      [/^2:12 gate_mode: there is no "hiden" here \| Did you mean "hidden"/],
    ],
    [
      'with another architecture',
      `base_model: a\narchitecture: deepseek${experts}`,
      [/there is no "deepseek" here \| Known are mixtral, qwen, qwen3/],
    ],
    ['with another dtype', `base_model: a\ndtype: float61${experts}`, [/Did you mean "float16"/]],
    [
      'with experts that are no list',
      'base_model: a\nexperts: { source_model: b }',
      [/experts must be a list/],
    ],
    [
      'with an expert without a model',
      'base_model: a\ngate_mode: random\nexperts: [{ noise_scale: 0 }, { source_model: b }]',
      [/source_model is missing/],
    ],
    [
      'with noise below 0',
      'base_model: a\ngate_mode: random\nexperts: [{ source_model: a, noise_scale: -1 }, { source_model: b }]',
      [/noise_scale is "-1", not a number from 0/],
    ],
    [
      'with a scale that is no number',
      'base_model: a\ngate_mode: random\nexperts: [{ source_model: a, residual_scale: big }, { source_model: b }]',
      [/residual_scale is "big"/],
    ],
    [
      'with more experts per token than experts',
      `base_model: a\nexperts_per_token: 3${experts}`,
      [/^2:20 3 experts per token of 2/],
    ],
    [
      'with one expert for two per token',
      'base_model: a\ngate_mode: random\nexperts: [{ source_model: a }]',
      [/2 experts per token of 1/],
    ],
    ['with experts_per_token 0', `base_model: a\nexperts_per_token: 0${experts}`, [/not a whole number/]],
    [
      'without prompts',
      'base_model: a\nexperts: [{ source_model: a }, { source_model: b, positive_prompts: [x] }]',
      [/^2:11 this expert has no positive_prompts/],
    ],
    [
      'with prompts that are the same for all experts',
      'base_model: a\nexperts:\n  - { source_model: a, positive_prompts: [x], negative_prompts: [y] }\n  - { source_model: b, positive_prompts: [x], negative_prompts: [y] }',
      [/^4:5 prompts are identical for all experts/],
    ],
    [
      'with a prompt that is no text, which is said once',
      'base_model: a\nexperts: [{ source_model: a, positive_prompts: [~] }, { source_model: b, positive_prompts: [x] }]',
      [/^2:49 an entry of positive_prompts must be text/],
    ],
    ['with duplicate keys', `base_model: a\nbase_model: b${experts}`, [/"base_model" is given twice/]],
    ['with broken syntax', 'base_model: [a', [/not valid YAML/]],
  ])('%s', (_name, text, wanted) => {
    const problems = said(text);
    for (const [i, pattern] of wanted.entries()) expect(problems[i]).toMatch(pattern);
    expect(problems.length, problems.join('\n')).toBe(wanted.length);
  });
});
