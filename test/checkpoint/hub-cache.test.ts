// Repositories in the cache that clients of the Hugging Face Hub keep: found by revision, never left.
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findInHubCache } from '../../lib/checkpoint/hub-cache.js';
import { f32, numbers, Workshop } from '../support/merge-file.js';
import { writeStored } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

const [old, young] = ['a'.repeat(40), 'b'.repeat(40)];

/** org/m with two snapshots, of which main is the younger; weights are links to blobs. */
async function cache(): Promise<string> {
  const root = await tempDir();
  const repository = join(root, 'models--org--m');
  mkdirSync(join(repository, 'blobs'), { recursive: true });
  mkdirSync(join(repository, 'refs', 'pr'), { recursive: true });
  for (const [commit, value] of [
    [old, 1],
    [young, 2],
  ] as const) {
    mkdirSync(join(repository, 'snapshots', commit), { recursive: true });
    writeStored(join(repository, 'blobs', commit), [f32('w', [1], [value])]);
    symlinkSync(
      join('..', '..', 'blobs', commit),
      join(repository, 'snapshots', commit, 'model.safetensors'),
    );
  }
  writeFileSync(join(repository, 'refs', 'main'), young);
  writeFileSync(join(repository, 'refs', 'pr', '1'), `${old}\n`);
  return root;
}

describe('a repository', () => {
  it('is found by branch, commit or reference', async () => {
    const root = await cache();
    const snapshot = (commit: string) => join(root, 'models--org--m', 'snapshots', commit);
    expect(findInHubCache('org/m', undefined, root)).toBe(snapshot(young));
    expect(findInHubCache('org/m', old, root)).toBe(snapshot(old));
    expect(findInHubCache('org/m', 'pr/1', root)).toBe(snapshot(old));
    for (const [name, revision] of [['org/n'], ['org/m', 'v2'], ['org/m', 'c'.repeat(40)]] as const) {
      expect(findInHubCache(name!, revision, root)).toBeUndefined();
    }
  });

  it('never leads out of the cache', async () => {
    const root = await cache();
    for (const [name, revision] of [
      ['../m', 'main'],
      ['org/..', 'main'],
      ['/etc', 'main'],
      ['org/m', '../../../refs'],
      ['org/m', '..'],
    ] as const) {
      expect(findInHubCache(name, revision, root), `${name}@${revision}`).toBeUndefined();
    }
  });

  it('is merged under its name', async () => {
    const root = await cache();
    const shop = new Workshop(await tempDir());
    await shop.merge(
      `merge_method: linear
models: [{model: org/m, parameters: {weight: 1}}, {model: org/m@${old}, parameters: {weight: 3}}]
`,
      { cache: root },
    );
    expect(numbers(shop.output().get('w')!)).toEqual([1.25]);
  });
});
