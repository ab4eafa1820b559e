// The first key that PEFT would find, however many keys and names there are.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../../lib/index.js';
import { adapterConfig } from '../../../lib/merge/lora/adapter-config.js';
import { readLoraConfig } from '../../../lib/merge/lora/config.js';
import { NamePatterns } from '../../../lib/merge/lora/name-patterns.js';
import { writeModel } from '../../support/models.js';
import { tensor } from '../../support/safetensors.js';
import { tempDir } from '../../support/temp.js';

/** `re.match(rf"(.*\.)?({key})$", name)`, key by key. */
function oneByOne(keys: readonly string[], name: string): number | undefined {
  const at = keys.findIndex((key) => new RegExp(`^(.*\\.)?(${key})$`).test(name));
  return at < 0 ? undefined : at;
}

describe('the first key that fits a name', () => {
  it.each([
    [['q_proj'], 'model.layers.0.q_proj', 0],
    [['proj'], 'model.q_proj', undefined],
    [['b', 'a.b'], 'a.b', 0],
    [['a.b', 'b'], 'a.b', 0],
    [['a.b', 'b'], 'c.b', 1],
    // A dot is any letter, one before a name's end too.
    [['a.b'], 'x.a_b', 0],
    [['.b'], 'a.bb', 0],
    [['.b'], 'a.b', undefined],
    [['..b'], 'x.a.b', 0],
    [['a-b'], 'x.a-b', 0],
    [[''], 'a.', 0],
    [['.*'], 'anything', 0],
    [['a|b', 'b'], 'x.b', 0],
    [['layers\\.[01]\\.q', 'layers.1.q'], 'model.layers.1.q', 0],
    [['layers.1.q', 'layers\\.[01]\\.q'], 'model.layers.1.q', 0],
    [['a', 'a'], 'a', 0],
  ] as const)('of %j for %j', (keys, name, first) => {
    expect(oneByOne(keys, name)).toBe(first);
    expect(new NamePatterns(keys).first(name)).toBe(first);
  });

  it('is the one that a search from key to key finds', () => {
    const name = fc.string({ unit: fc.constantFrom('a', 'b', '.', '_', '-', '1'), maxLength: 7 });
    const key = fc.oneof(
      { weight: 4, arbitrary: name },
      { weight: 1, arbitrary: fc.constantFrom('a+', '(a|b)', '[ab]\\.1', '.*', 'a?', '\\.', 'a$') },
    );
    fc.assert(
      fc.property(fc.array(key, { maxLength: 8 }), fc.array(name, { maxLength: 8 }), (keys, names) => {
        const patterns = new NamePatterns(keys);
        for (const one of names) expect(patterns.first(one)).toBe(oneByOne(keys, one));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('with a rank for each of thousands of modules', () => {
  const modules = Array.from(
    { length: 16_000 },
    (_, i) =>
      `model.layers.${i % 60}.mlp.experts.${Math.floor(i / 180)}.${['gate_proj', 'up_proj', 'down_proj'][Math.floor(i / 60) % 3]}`,
  );
  const rankOf = (i: number): number => 8 + ((i * 7919) % 57);

  it('an adapter is read and written in no time', async () => {
    const directory = join(await tempDir(), 'adapter');
    mkdirSync(directory);
    const base = await openCheckpoint(writeModel(join(directory, 'base'), [tensor('w', 'F32', [1])]));
    const targets = modules.map((module, i) => {
      return { module, transposed: false, embedding: false, rank: rankOf(i) };
    });
    const began = performance.now();
    const config = adapterConfig({ base, baseName: 'base', targets, savedModules: [], biases: false });
    writeFileSync(join(directory, 'adapter_config.json'), JSON.stringify(config));
    const read = await readLoraConfig(directory);
    for (const [i, module] of modules.entries()) expect(read.module(module).rank).toBe(rankOf(i));
    expect(performance.now() - began).toBeLessThan(5000);
  });
});
