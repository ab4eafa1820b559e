// Modules of merge configurations, and what is said of them in words.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { explainMerge } from '../../../lib/merge/config/explain.js';
import { openMergeFile } from '../../../lib/merge/config/open.js';
import { headers, llama, llamaShapes, problemsOf, resolveText, tensorOf } from '../../support/headers.js';
import { writeModel } from '../../support/models.js';
import { tensor } from '../../support/safetensors.js';
import { tempDir } from '../../support/temp.js';

const q = (layer: number) => `model.layers.${layer}.self_attn.q_proj.weight`;
const up = (layer: number) => `model.layers.${layer}.mlp.up_proj.weight`;
const slerp = (t: string) =>
  `merge_method: slerp\nbase_model: a\nmodels: [{model: a}, {model: b}]\nparameters:\n  t: ${t}\n`;
const two = (layers = 5) => [llama('a', layers), llama('b', layers)];

describe('modules', () => {
  const shapes = (prefix: string) =>
    Object.fromEntries(Object.entries(llamaShapes(2)).map(([name, shape]) => [`${prefix}.${name}`, shape]));
  const vision = (path: string) =>
    headers(path, { ...shapes('language_model'), 'vision_tower.w': [2], 'projector.w': [2] });

  it('merge their own tensors; what none speaks of is copied from the donor, and named', () => {
    const merge = resolveText(
      `merge_method: linear
modules:
  text_decoder: {models: [{model: a}, {model: b}], parameters: {weight: 1}}
  vision_tower: {models: [{model: b}], parameters: {weight: 2}}
`,
      [vision('a'), vision('b')],
    );
    expect(tensorOf(merge, 'language_model.lm_head.weight').inputs).toHaveLength(2);
    expect(tensorOf(merge, 'vision_tower.w').inputs).toMatchObject([{ model: 1 }]);
    expect(tensorOf(merge, 'projector.w')).toMatchObject({ method: 'passthrough', inputs: [{ model: 0 }] });
    expect(merge.warnings).toContainEqual(
      expect.stringMatching(/1 tensors belong to no module .* from a: projector\.w/),
    );
  });

  it('what no module speaks of is copied from base_model too where the method takes deltas from it', () => {
    const merge = resolveText(
      `merge_method: ties
base_model: c
modules: {text_decoder: {models: [{model: a}, {model: b}]}}
parameters: {weight: 1}
`,
      ['a', 'b', 'c'].map(vision),
    );
    expect(tensorOf(merge, 'language_model.lm_head.weight')).toMatchObject({ base: { model: 2 } });
    const copied = tensorOf(merge, 'projector.w');
    expect(copied).toMatchObject({ method: 'passthrough', inputs: [{ model: 2, tensor: 'projector.w' }] });
    expect(copied.base).toBeUndefined();
  });

  it('default is all of a model', () => {
    const slices =
      'slices: [{sources: [{model: a, layer_range: [0, 1]}]}, {sources: [{model: b, layer_range: [1, 2]}]}]';
    const merge = resolveText(`merge_method: passthrough\nmodules: {default: {${slices}}}`, two(2));
    const plain = resolveText(`merge_method: passthrough\n${slices}`, two(2));
    expect(merge.tensors).toEqual(plain.tensors);
    expect(merge.warnings).toEqual(plain.warnings);
  });

  it('text_decoder is what no other part of the model has, where no name says so', () => {
    const qwen = (path: string) =>
      headers(path, { ...llamaShapes(1), 'visual.blocks.0.w': [2], 'visual.merger.w': [2] });
    const text = (module: string) =>
      `merge_method: linear\nmodules: {${module}: {models: [{model: a}, {model: b}], parameters: {weight: 1}}}`;
    const merge = resolveText(text('text_decoder'), [qwen('a'), qwen('b')]);
    for (const name of [q(0), 'lm_head.weight', 'model.norm.weight']) {
      expect(tensorOf(merge, name).inputs, name).toHaveLength(2);
    }
    expect(tensorOf(merge, 'visual.merger.w')).toMatchObject({ method: 'passthrough' });
    const pictures = (path: string) => headers(path, { 'visual.w': [2] });
    expect(problemsOf(() => resolveText(text('text_decoder'), [pictures('a'), pictures('b')]))).toMatchObject(
      [{ message: /no tensor belongs/ }],
    );
  });

  it.each(['text_decoder', 'language_model'])('%s has the head of newer names, beside it', (module) => {
    const { 'lm_head.weight': head, ...rest } = llamaShapes(1);
    const inner = Object.entries(rest).map(([name, shape]) => [
      name.replace('model', 'model.language_model'),
      shape,
    ]);
    const newer = (path: string) =>
      headers(path, { 'lm_head.weight': head!, ...Object.fromEntries(inner), 'model.visual.w': [2] });
    const merge = resolveText(
      `merge_method: linear\nmodules: {${module}: {models: [{model: a}, {model: b}], parameters: {weight: 1}}}`,
      [newer('a'), newer('b')],
    );
    expect(tensorOf(merge, 'lm_head.weight').inputs).toHaveLength(2);
    expect(tensorOf(merge, 'model.visual.w').inputs).toHaveLength(1);
  });

  it.each([
    ['vision_tower', 'multi_modal_projector'],
    ['multi_modal_projector', 'vision_tower'],
  ])('a module within another has its tensors, in any order: %s, %s', (first, second) => {
    const qwen = (path: string) =>
      headers(path, { ...llamaShapes(1), 'visual.blocks.0.w': [2], 'visual.merger.w': [2] });
    const of: Record<string, string> = { vision_tower: 'b', multi_modal_projector: 'a' };
    const modules = [first, second].map((name) => `  ${name}: {models: [{model: ${of[name]}}]}\n`).join('');
    const merge = resolveText(`merge_method: passthrough\nmodules:\n${modules}`, ['a', 'b'].map(qwen));
    const origin = (name: string) => merge.models[tensorOf(merge, name).inputs[0]!.model]!.model.path;
    expect([origin('visual.blocks.0.w'), origin('visual.merger.w')]).toEqual(['b', 'a']);
  });

  it('a module that no tensor belongs to is an error', () => {
    const text = 'merge_method: uniform_soup\nmodules: {audio: {models: [{model: a}]}}';
    expect(problemsOf(() => resolveText(text, [vision('a')]))).toMatchObject([{ line: 2, column: 11 }]);
  });
});

test('fisher: statistics by model; regmean: plain mean where no model has a Gram matrix', () => {
  const models = two(1);
  const fisher = resolveText(
    'merge_method: fisher\nmodels: [{model: a, fisher: fa}, {model: b, fisher: fb}]',
    [...models, llama('fa', 1), llama('fb', 1)],
  );
  expect(tensorOf(fisher, q(0)).inputs.map(({ statistics }) => statistics)).toEqual([
    { model: 0, tensor: q(0) },
    { model: 1, tensor: q(0) },
  ]);
  const text = 'merge_method: regmean\nmodels: [{model: a, gram: ga}, {model: b, gram: gb}]';
  const gram = { [up(0)]: [4, 4] };
  const regmean = resolveText(text, [...models, headers('ga', gram), headers('gb', gram)]);
  expect(tensorOf(regmean, up(0))).toMatchObject({ kernel: 'regmean', parameters: { alpha: 0.9 } });
  expect(tensorOf(regmean, q(0))).toMatchObject({ kernel: 'linear', parameters: { normalize: 1 } });
  const wrong = problemsOf(() =>
    resolveText(text, [...models, headers('ga', gram), headers('gb', { [up(0)]: [6, 6] })]),
  );
  expect(wrong).toMatchObject([{ code: 'ERR_SHAPE_MISMATCH', tensor: up(0) }]);
});

test('lines: depth counts from the embeddings to the head', () => {
  const merge = resolveText(
    'merge_method: lines\nbase_model: a\nparameters: {alpha: 1, beta: 2}\nmodels: [{model: b}]',
    two(),
  );
  const scale = (name: string) => tensorOf(merge, name).parameters.lambda;
  expect(['model.embed_tokens.weight', q(0), q(2), q(4), 'lm_head.weight'].map(scale)).toEqual([
    1, 1, 2, 3, 3,
  ]);
  expect(tensorOf(merge, q(0)).kernel).toBe('task_arithmetic');
});

test('numbers that cannot work are errors before any data is read', () => {
  const text =
    'merge_method: linear\nmodels: [{model: a, parameters: {weight: 1}}, {model: b, parameters: {weight: -1}}]';
  expect(problemsOf(() => resolveText(text, two()))).toMatchObject([
    {
      line: 1,
      message: expect.stringMatching(/the weights 1, -1 sum to 0/),
      fix: expect.stringMatching(/normalize: false/),
    },
  ]);
});

describe('explanations', () => {
  it('layers in a row that are treated alike share a line', () => {
    const text = slerp('[{filter: self_attn, value: [0, 1]}, {value: 0.5}]');
    const { lines, groups } = explainMerge(resolveText(slerp('0.5'), two()));
    expect(groups.map(({ where, tensors }) => `${where} ${tensors}`)).toEqual([
      'lm_head.weight, model.embed_tokens.weight 2',
      'layers 0-4 15',
      'model.norm.weight 1',
    ]);
    expect(lines).toContain('  layers 0-4 (15): slerp t=0.5 of b');
    const graded = explainMerge(resolveText(text, two())).lines;
    expect(graded).toContain(
      '  layers 3 self_attn.q_proj.weight (1): slerp t=0.75 of b'.replace('layers 3', 'layer 3'),
    );
    expect(graded).toContain('  layer 3 all else (2): slerp t=0.5 of b');
  });

  it('experts share a name where all of them are meant', () => {
    const shapes = Object.fromEntries(
      [0, 1, 2].flatMap((e) =>
        ['w1', 'w2', 'w3'].map((w) => [`model.layers.0.experts.${e}.${w}.weight`, [2]]),
      ),
    );
    const where = (filter: string) =>
      explainMerge(
        resolveText(slerp(`[{filter: ${filter}, value: 1}, {value: 0}]`), [
          headers('a', shapes),
          headers('b', shapes),
        ]),
      ).groups[0]!.where;
    expect(where('w1')).toBe('layer 0 experts.*.w1.weight');
    expect(where('experts.1.w1')).toBe('layer 0 experts.1.w1.weight');
  });

  it('say where layers come from, what config.json becomes, and how mergekit differs', () => {
    const { lines } = explainMerge(
      resolveText(
        'merge_method: passthrough\nslices: [{sources: [{model: a, layer_range: [0, 4]}]}, {sources: [{model: b, layer_range: [2, 5]}]}]',
        two(),
      ),
    );
    expect(lines).toContain('  layers 4-6 (9): passthrough of b layers 2-4');
    expect(lines).toContain('config.json: num_hidden_layers = 7');
    expect(lines).toContain('differences from mergekit 0.1.4');
  });
});

test('a file with two documents, opened from disk', async () => {
  const root = await tempDir();
  const tensors = Object.entries(llamaShapes(3)).map(([name, shape]) => tensor(name, 'F32', shape));
  for (const name of ['a', 'b']) writeModel(join(root, name), tensors, { config: { num_hidden_layers: 3 } });
  const path = join(root, 'merge.yml');
  writeFileSync(
    path,
    `name: long
merge_method: passthrough
slices: [{sources: [{model: ${root}/a, layer_range: [0, 3]}]}, {sources: [{model: ${root}/b, layer_range: [1, 3]}]}]
---
merge_method: linear
models: [{model: long, parameters: {weight: 1}}]
parameters: {normalize: false}
`,
  );
  const [first, second] = await openMergeFile(path);
  expect(first!.merge.configChanges).toEqual({ num_hidden_layers: 5 });
  expect(explainMerge(first!)).toEqual(explainMerge(first!.merge));
  expect(second!.merge.tensors.map(({ name }) => name)).toContain(q(4));
  expect(second!.models[0]!.config).toMatchObject({ num_hidden_layers: 5 });
  writeFileSync(path, `merge_method: uniform_soup\nmodels: [{model: ${root}/x}, {model: ${root}/y}]\n`);
  await expect(openMergeFile(path)).rejects.toMatchObject({
    code: 'ERR_INCOMPATIBLE',
    details: { problems: [{ code: 'ERR_IO' }, { code: 'ERR_IO' }] },
  });
});
