// What a model card, which is published, says of paths.
import { describe, expect, it } from 'vitest';
import { publishedConfig, publishedPath } from '../../lib/checkpoint/published-paths.js';

const snapshot = '/home/me/.cache/huggingface/hub/models--org--name/snapshots/0123abc';

describe('a path in a model card', () => {
  it.each([
    ['/home/me/models/base', 'base'],
    ['/home/me/models/base/', 'base'],
    ['/home/me/models/base/model.safetensors', 'base/model.safetensors'],
    [snapshot, 'org/name'],
    [`${snapshot}/model.safetensors.index.json`, 'org/name/model.safetensors.index.json'],
    ['/home/me/merge.yml', 'merge.yml'],
    ['models/base', 'models/base'],
    ['../base', '../base'],
    ['org/name', 'org/name'],
  ])('that was %s is %s', (path, published) => {
    expect(publishedPath(path)).toBe(published);
  });
});

describe('a merge file in a model card', () => {
  it('has the names of models, and every other byte as it was', async () => {
    const text = (base: string, quoted: string, adapter: string, cached: string) => `# by hand, 1e-05
base_model: ${base}   # the base
models:
  - {model: "${quoted}", parameters: {weight: 10000.0}}
  - model: '${adapter}'
  - model: {model: {path: ${cached}}}
chat_template: "{{ a }}/b"
tokenizer: {source: models/base}
`;
    const given = text('/data/base', '/home/my self/a', '/data/b+/data/lora', snapshot);
    expect(await publishedConfig(given)).toBe(text('base', 'a', 'b+lora', 'org/name'));
  });

  it('is whole where it has several documents, escapes, or nothing to change', async () => {
    const several = 'model: /a/b\n---\nmodel: "/a/\\u00e9"\n';
    expect(await publishedConfig(several)).toBe('model: b\n---\nmodel: "é"\n');
    expect(await publishedConfig('models: [{model: org/name}]\n')).toBe('models: [{model: org/name}]\n');
  });
});
