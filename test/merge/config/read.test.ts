// Reading configurations: every problem at once, with its place and what to do.
import { describe, expect, it, test } from 'vitest';
import { configModels } from '../../../lib/merge/config/documents.js';
import { formatModelReference, parseModelReference } from '../../../lib/merge/config/model-reference.js';
import { evaluateGradient } from '../../../lib/merge/config/parameter-value.js';
import { parseMergeFile } from '../../../lib/merge/config/read.js';
import { problemsOf, readConfig } from '../../support/headers.js';

const models = 'models: [{model: a, parameters: {weight: 1}}, {model: b, parameters: {weight: 1}}]';
const linear = (rest: string) => `merge_method: linear\n${models}\n${rest}\n`;
const problems = (text: string) => problemsOf(() => readConfig(text));
/** `line:column message | fix` of each problem. */
const said = (text: string) =>
  problems(text).map(({ line, column, message, fix }) => `${line}:${column} ${message} | ${fix}`);

describe('unknown keys', () => {
  it('all at once, with line, column and a suggestion', () => {
    const text = [
      'merge_method: linear',
      'dytpe: bfloat16',
      'models:',
      '  - model: a',
      '    paramaters: {weight: 1}',
      '  - model: b',
      '    parameters:',
      '      wieght: 0.5',
      'parameters:',
      '  normalise: true',
    ].join('\n');
    expect(said(text)).toEqual([
      '2:1 unknown key "dytpe" in the top level of the file | Did you mean "dtype"?',
      '5:5 unknown key "paramaters" in an entry of models | Did you mean "parameters"?',
      '8:7 linear has no parameter "wieght" | Did you mean "weight"?',
      '10:3 linear has no parameter "normalise" | Did you mean "normalize"?',
    ]);
    expect(problems(text)[0]).toMatchObject({ errorCode: 'ERR_MERGE_FILE', file: 'merge.yml' });
  });

  it('known keys at the wrong level say where they belong', () => {
    expect(said(linear('normalize: false\nlayer_range: [0, 4]'))).toEqual([
      expect.stringMatching(/^3:1 .*"normalize" belongs under `parameters` of the top level/),
      expect.stringMatching(/^4:1 .*"layer_range" belongs in an entry of sources/),
    ]);
    expect(said('merge_method: linear\nmodels: [{model: a, weight: 1}]')[0]).toMatch(
      /^2:21 unknown key "weight" .*belongs under `parameters` of an entry of models/,
    );
    expect(
      said('merge_method: slerp\nbase_model: a\nmodels: [{model: a}, {model: b, parameters: {t: 1}}]')[0],
    ).toMatch(/t is one value for all models .*It belongs under `parameters` of a slice/);
  });

  it('a key one letter away is meant, also where another level has it', () => {
    expect(said('merge_method: passthrough\nslices: [{source: [{model: a, layer_range: [0, 1]}]}]')[0]).toBe(
      '2:11 unknown key "source" in an entry of slices | Did you mean "sources"?',
    );
  });

  it('parameters of other methods are warnings, whatever they hold', () => {
    const config = readConfig(linear('parameters: {density: [0.5, x], embed_slerp: true, max_iter: 3}'));
    expect(config.warnings).toEqual([
      'merge.yml:3:14: density has no effect with linear, whose parameters are weight, normalize',
      expect.stringMatching(/^merge\.yml:3:33: embed_slerp has no effect: .*tokenizer\.tokens/),
      expect.stringMatching(/^merge\.yml:3:52: max_iter has no effect with linear/),
    ]);
    expect(config.parameters).toEqual({});
    const soup = readConfig(`merge_method: uniform_soup\n${models}`);
    expect(soup.warnings).toEqual([
      'merge.yml:2:34: weight has no effect with uniform_soup, which has no parameters',
      'merge.yml:2:71: weight has no effect with uniform_soup, which has no parameters',
    ]);
    expect(said(linear('parameters: {nonsense: 1}'))).toEqual([
      '3:14 linear has no parameter "nonsense" | Remove it: linear has weight, normalize.',
    ]);
  });

  it('at the top level, keys that begin with x- are the file’s own, for anchors', () => {
    const text = (key: string) => `${key}: &p {weight: 0.5}\n${linear('parameters: *p')}`;
    const config = readConfig(text('x-common'));
    expect(config.parameters.weight!.entries[0]!.values).toEqual([0.5]);
    expect(config.warnings).toEqual([]);
    expect(said(text('x'))).toEqual([
      expect.stringMatching(/^1:1 unknown key "x" .*\| Known keys are name.*begins with x-/),
    ]);
    expect(said('merge_method: linear\nmodels: [{model: a, x-y: 1, parameters: {weight: 1}}]')).toHaveLength(
      1,
    );
  });

  it('legacy keys name the form of today', () => {
    expect(said(linear('embed_slerp: true'))[0]).toMatch(/tokenizer\.tokens/);
    expect(said(linear('input_model_parameters: {}'))[0]).toMatch(/`parameters` of each entry/);
    expect(said(linear('random_seed: 0'))[0]).toMatch(/^3:1 .*--random-seed/);
    expect(said(linear('tokenizer_source: model:org/a'))[0]).toMatch(/^3:19 .*Write org\/a alone/);
    expect(said('base_model: a\ngate_mode: hidden\nexperts: []')[0]).toMatch(/mixture of experts/);
  });

  it('exceptions: int8_mask, density of task_arithmetic and residual_weight are warnings', () => {
    const config = readConfig(`merge_method: task_arithmetic
base_model: a
parameters: {int8_mask: true, density: 0.5, weight: 1}
slices:
  - sources: [{model: a, layer_range: [0, 2]}, {model: b, layer_range: [0, 2]}]
    residual_weight: 0.1
`);
    expect(config.warnings).toEqual([
      expect.stringMatching(/^merge\.yml:6:5: residual_weight has no effect/),
      expect.stringMatching(/^merge\.yml:3:14: int8_mask has no effect/),
      expect.stringMatching(/^merge\.yml:3:31: density has no effect/),
    ]);
    expect(Object.keys(config.parameters)).toEqual(['weight']);
  });
});

describe('values', () => {
  const weights = (value: string) =>
    `merge_method: linear\nmodels: [{model: a, parameters: {weight: ${value}}}]`;

  it('octal and base 60 are read as YAML 1.1 has them, with a warning', () => {
    const octal = readConfig(weights('010'));
    expect(octal.modules[0]!.slices[0]!.sources[0]!.parameters.weight!.entries[0]!.values).toEqual([8]);
    expect(octal.warnings[0]).toMatch(/:2:42: weight: 010 is 8, being octal/);
    expect(readConfig(weights('12:30')).warnings[0]).toMatch(/12:30 is 750, being base 60/);
  });

  it.each([
    ['.inf', /weight is \.inf/],
    ['.nan', /finite/],
    ["'nan'", /finite/],
    ['~', /not a number/],
    ['abc', /"abc", not a number/],
    ['"1,5"', /Write 1\.5/],
    ['[]', /weight is empty/],
    ['{filter: x, value: 1}', /Put a dash before/],
    ['[1, {value: 2}]', /mixes numbers and filters/],
    ['[{filter: x}]', /has no value/],
    ['[{filtre: x, value: 1}]', /Did you mean "filter"/],
  ])('%s is refused where it stands', (value, message) => {
    const list = said(weights(value));
    expect(list).toEqual([expect.stringMatching(message)]);
    expect(list[0]).toMatch(/^2:\d\d /);
  });

  it('types and ranges', () => {
    expect(said(linear('parameters: {normalize: 2}'))[0]).toMatch(/normalize is 2, not true or false/);
    expect(said(linear('parameters: {normalize: [0, 1]}'))[0]).toMatch(/has no values between/);
    expect(said('merge_method: karcher\nmodels: [{model: a}]\nparameters: {max_iter: 1.5, tol: 0}')).toEqual([
      expect.stringMatching(/3:24 max_iter is 1\.5, not a whole number/),
      expect.stringMatching(/3:34 tol is 0; allowed is above 0/),
    ]);
  });

  it('dtypes', () => {
    expect(readConfig(linear('dtype: torch.bfloat16\nout_dtype: float32'))).toMatchObject({
      dtype: 'BF16',
      outDtype: 'F32',
    });
    expect(said(linear('dtype: bfloat61'))[0]).toMatch(/3:8 .*Did you mean "bfloat16"/);
    expect(said(linear('dtype: int64'))[0]).toMatch(/not a dtype that weights are written in/);
  });

  it('chat templates', () => {
    expect(readConfig(linear('chat_template: chatml')).chatTemplate).toBe('chatml');
    expect(readConfig(linear('chat_template: "{% for m in messages %}{% endfor %}"')).chatTemplate).toMatch(
      /^\{%/,
    );
    expect(said(linear('chat_template: chatlm'))[0]).toMatch(/Did you mean "chatml"/);
  });
});

describe('tokenizers', () => {
  it('short and long form', () => {
    expect(readConfig(linear('tokenizer_source: union')).tokenizer).toMatchObject({
      source: 'union',
      tokens: [],
    });
    const { tokenizer } = readConfig(
      linear(`tokenizer:
  source: org/a@main
  pad_to_multiple_of: 64
  tokens:
    <|x|>: {source: {kind: model_token, model: b, token_id: 7}, force: true}
    <|y|>: {source: {kind: zero}}
    <|z|>: {source: a}`),
    );
    expect(tokenizer).toMatchObject({
      source: { model: { path: 'org/a', revision: 'main' } },
      padToMultipleOf: 64,
      tokens: [
        {
          token: '<|x|>',
          place: { line: 7, column: 5 },
          force: true,
          source: { kind: 'model_token', model: { model: { path: 'b' } }, tokenId: 7 },
        },
        { token: '<|y|>', force: false, source: { kind: 'zero' } },
        { token: '<|z|>', force: false, source: { kind: 'model', model: { model: { path: 'a' } } } },
      ],
    });
  });

  it('problems', () => {
    expect(said(linear('tokenizer_source: union\ntokenizer: {source: base}'))[0]).toMatch(/4:1 .*both given/);
    expect(said(linear('tokenizer: {tokens: {x: {source: {kind: model_token, model: b}}}}'))[0]).toMatch(
      /either token or token_id/,
    );
    expect(said(linear('tokenizer: {pad_to_multiple_of: 0}'))[0]).toMatch(/not a whole number/);
    expect(said(linear('tokenizer_source: unoin'))).toEqual([
      '3:19 tokenizer_source: there is no model "unoin" | Did you mean "union"?',
    ]);
  });
});

describe('names of documents', () => {
  const documents = (...names: (string | undefined)[]) =>
    names
      .map((name) => `${name === undefined ? '' : `name: ${name}\n`}merge_method: linear\n${models}`)
      .join('\n---\n');

  it('are those of directories', () => {
    for (const name of ['../x', 'a/b', '"."', '.hidden', '"a\\0"']) {
      expect(said(documents(name)), name).toEqual([expect.stringMatching(/cannot be that of a directory/)]);
    }
  });

  it('tell all but one apart', () => {
    expect(said(documents('a', undefined, undefined))).toEqual([
      expect.stringMatching(/more than one document has no name/),
    ]);
    expect(said(documents('final', undefined))).toEqual([expect.stringMatching(/another is named "final"/)]);
  });
});

describe('structure', () => {
  it('exactly one of models, slices and modules', () => {
    expect(said('merge_method: linear')).toEqual([expect.stringMatching(/none of models, slices, modules/)]);
    expect(said(linear('slices: []'))[0]).toMatch(/3:1 models and slices are given together/);
  });

  it('a method that does not exist is suggested', () => {
    expect(said(models.replace('models', 'merge_method: tise\nmodels'))[0]).toMatch(
      /1:15 .*Did you mean "ties"/,
    );
    expect(said(models)[0]).toMatch(/merge_method is missing/);
  });

  it('a base where the method needs one, and the number of models', () => {
    expect(said(models.replace('models', 'merge_method: ties\nmodels'))).toEqual([
      expect.stringMatching(/1:1 ties needs base_model/),
    ]);
    expect(
      said(
        'merge_method: slerp\nbase_model: a\nparameters: {t: 0.5}\nmodels: [{model: a}, {model: b}, {model: c}]',
      ),
    ).toEqual([expect.stringMatching(/slerp takes 1 model besides base_model; here are 2/)]);
    expect(said('merge_method: slerp\nbase_model: a\nmodels: [{model: a}, {model: b}]')).toEqual([
      expect.stringMatching(/slerp needs the parameter t/),
    ]);
  });

  it("the base's required parameters may be missing, others' not", () => {
    const text = 'merge_method: ties\nbase_model: a\nmodels: [{model: a}, {model: b}]';
    expect(said(text)).toEqual([expect.stringMatching(/3:22 b has no weight, which ties needs/)]);
    expect(said(`${text}\nparameters: {weight: 1}`)).toEqual([]);
  });

  it('the same model twice is an error', () => {
    expect(said('merge_method: uniform_soup\nmodels: [{model: a}, {model: a}]')).toEqual([
      expect.stringMatching(/2:22 a is listed twice; first in line 2/),
    ]);
  });

  it('layer ranges: pairs that ascend, of one length in a slice, the base among the sources', () => {
    const slices = (ranges: string[], rest = '') =>
      `merge_method: linear\nparameters: {weight: 1}\n${rest}slices:\n  - sources:\n${ranges
        .map((range, i) => `    - {model: m${i}, layer_range: ${range}}`)
        .join('\n')}`;
    expect(said(slices(['[0, 4]', '[0, 3]']))).toEqual([
      expect.stringMatching(/6:7 .*3 layers, the first .* 4/),
    ]);
    expect(said(slices(['[4, 4]']))).toEqual([expect.stringMatching(/has no layers/)]);
    expect(said(slices(['[0]', 'x', '[-1, 2]']))).toHaveLength(3);
    expect(said(slices(['[0, 2]', '[2, 4]'], 'base_model: z\n').replace('linear', 'ties'))).toEqual([
      expect.stringMatching(/base_model z is not among the sources/),
    ]);
  });

  it('fisher and regmean need their statistics, others refuse them', () => {
    expect(said('merge_method: fisher\nmodels: [{model: a, fisher: fa}, {model: b}]')).toEqual([
      expect.stringMatching(/2:34 this model has no fisher/),
    ]);
    expect(said('merge_method: uniform_soup\nmodels: [{model: a, gram: g}]')).toEqual([
      expect.stringMatching(/2:21 uniform_soup makes no use of gram \| .*regmean/),
    ]);
  });

  it('raw files are models too, and a weight of 0 is 0, not unset', () => {
    const text =
      'merge_method: linear\nmodels: [{model: a.pt, parameters: {weight: 0}}, {model: b.bin, parameters: {weight: 1}}]';
    const [first] = readConfig(text).modules[0]!.slices[0]!.sources;
    expect(first!.parameters.weight!.entries[0]!.values).toEqual([0]);
  });
});

test('gradients: linear between their entries', () => {
  expect(evaluateGradient([0, 1], 0.25)).toBe(0.25);
  expect(evaluateGradient([0, 1, 0], 0.75)).toBe(0.5);
  expect([0, 0.5, 1].map((t) => evaluateGradient([3, 5], t))).toEqual([3, 4, 5]);
  expect(evaluateGradient([7], 1)).toBe(7);
});

test('gradients: a zero between their entries is 0, where a third in binary makes it 5.6e-17', () => {
  expect(evaluateGradient([0.5, -1, 2], 2 / 3)).toBe(0);
  expect(evaluateGradient([1e-9, -1, 2, 0.001, 2], 1 / 3)).toBe(0);
  expect(evaluateGradient([1, 1e-16], 1)).toBe(1e-16);
});

describe('model references', () => {
  const parse = (text: string, ...existing: string[]) =>
    parseModelReference(text, (path) => existing.includes(path));

  it('path, revision, adapter and its revision', () => {
    expect(parse('org/a@v1+org/l@v2')).toEqual({
      model: { path: 'org/a', revision: 'v1' },
      lora: { path: 'org/l', revision: 'v2' },
    });
    expect(parse('org/a')).toEqual({ model: { path: 'org/a' } });
    for (const text of ['org/a@v1+org/l@v2', 'org/a+l', 'a@b']) {
      const reference = parse(text);
      expect(typeof reference === 'string' ? '' : formatModelReference(reference)).toBe(text);
    }
  });

  it('more than one + or @ is an error, a path that exists is not', () => {
    expect(parse('a+b+c')).toMatch(/more than one "\+"/);
    expect(parse('a@b@c')).toMatch(/more than one "@"/);
    expect(parse('a@')).toMatch(/lacks/);
    expect(parse('./c++@2/m+1', './c++@2/m+1')).toEqual({ model: { path: './c++@2/m+1' } });
    expect(parse('./x+y+lora', './x+y')).toEqual({ model: { path: './x+y' }, lora: { path: 'lora' } });
  });

  it('the mapping form takes any path', () => {
    const config = readConfig(
      'merge_method: passthrough\nmodels: [{model: {model: {path: a+b+c@d, revision: r}, lora: l}}]',
    );
    expect(configModels(config)).toEqual([
      { model: { path: 'a+b+c@d', revision: 'r' }, lora: { path: 'l' } },
    ]);
    expect(said('merge_method: passthrough\nmodels: [{model: {path: a}}]')[0]).toMatch(
      /belongs in the path of a model reference/,
    );
  });
});

describe('several documents', () => {
  const read = (text: string) => parseMergeFile(text, 'm.yml', { exists: () => false });
  const soup = (name: string, ...list: string[]) =>
    `name: ${name}\nmerge_method: uniform_soup\nmodels: [${list.map((model) => `{model: ${model}}`).join(', ')}]\n`;

  it('come in an order in which they can be merged', () => {
    const configs = read([soup('last', 'first', 'x'), soup('first', 'y', 'z')].join('---\n'));
    expect(configs.map(({ name }) => name)).toEqual(['first', 'last']);
    expect(configModels(configs[1]!)[0]).toEqual({ model: { path: 'first' }, document: true });
  });

  it('cycles and repeated names are errors', () => {
    const list = (text: string) => problemsOf(() => read(text)).map(({ message }) => message);
    expect(list([soup('a', 'b'), soup('b', 'a')].join('---\n'))).toEqual([
      'documents need each other: a → b → a',
    ]);
    expect(list([soup('a', 'x'), soup('a', 'y')].join('---\n'))).toContain('two documents are named "a"');
  });
});
