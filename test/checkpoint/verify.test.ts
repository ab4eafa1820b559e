import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { xxh3 } from '@node-rs/xxhash';
import { describe, expect, it } from 'vitest';
import { merge, verify } from '../../lib/index.js';
import { shardName, writeModel, writeShards } from '../support/models.js';
import { randomF32 } from '../support/random.js';
import { tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

const [first, second] = [shardName('model', 1, 2), shardName('model', 2, 2)];
const large = tensor('a', 'F32', [2_000_000], randomF32(2_000_000, 1));
const small = tensor('b', 'F32', [5], randomF32(5, 2));

async function sharded(): Promise<string> {
  const root = await tempDir();
  const model = writeShards(join(root, 'model'), [[large], [small]]);
  await merge({ zeroshot: model, finetuned: model, alpha: 0.5, out: join(root, 'out') });
  return join(root, 'out');
}

async function single(): Promise<string> {
  const root = await tempDir();
  const model = writeModel(join(root, 'model'), [small]);
  await merge({ zeroshot: model, finetuned: model, alpha: 0.5, out: join(root, 'out') });
  return join(root, 'out');
}

async function problems(directory: string): Promise<string> {
  const [result] = await verify(directory);
  return result!.problems.join('\n');
}

describe('an output just written', () => {
  it('is intact, sharded or not', async () => {
    const [result] = await verify(await sharded());
    expect(result!.problems).toEqual([]);
    expect(result!.files.map(({ name, ok }) => [name, ok])).toEqual([
      [first, true],
      [second, true],
    ]);
    expect(await problems(await single())).toBe('');
  });

  it('has the XXH3 of its bytes in the manifest', async () => {
    const out = await sharded();
    const { files } = JSON.parse(readFileSync(join(out, 'wisemerge.json'), 'utf8'));
    for (const { name, bytes, xxh3: hash } of files) {
      const content = readFileSync(join(out, name));
      expect(bytes).toBe(content.length);
      expect(hash).toBe(xxh3.xxh64(content).toString(16).padStart(16, '0'));
    }
  });

  it('of several alphas is verified as a whole or one by one', async () => {
    const root = await tempDir();
    const model = writeModel(join(root, 'model'), [small]);
    await merge({ zeroshot: model, finetuned: model, alpha: [0, 0.5, 1], out: join(root, 'out') });
    const results = await verify(join(root, 'out'));
    expect(results.map(({ problems: found }) => found)).toEqual([[], [], []]);
    expect(await verify(join(root, 'out', 'alpha_0.5000'))).toEqual([results[1]]);
  });
});

describe('verify finds', () => {
  it.each([8 + 20, 4096, 4_000_000, 8_004_095])('a flipped bit in byte %d', async (at) => {
    const out = await sharded();
    const content = readFileSync(join(out, first));
    content[at]! ^= 1;
    writeFileSync(join(out, first), content);
    expect(await problems(out)).toMatch(new RegExp(`${first} has XXH3 .*; the manifest says`));
  });

  it('a truncated file', async () => {
    const out = await sharded();
    truncateSync(join(out, second), 4100);
    expect(await problems(out)).toMatch(`${second} has 4100 bytes; the manifest says 4116`);
  });

  it('a file that has grown', async () => {
    const out = await sharded();
    appendFileSync(join(out, second), 'x');
    expect(await problems(out)).toMatch(`${second} has 4117 bytes; the manifest says 4116`);
  });

  it('a missing file', async () => {
    const out = await sharded();
    rmSync(join(out, second));
    const [result] = await verify(out);
    expect(result!.problems.join()).toMatch(/cannot open .*no such file/);
    expect(result!.files.map(({ ok }) => ok)).toEqual([true, false]);
  });

  it('a missing index', async () => {
    const out = await sharded();
    rmSync(join(out, 'model.safetensors.index.json'));
    expect(await problems(out)).toMatch(/no model\.safetensors\.index\.json/);
  });

  it('an index that disagrees with the shards', async () => {
    const out = await sharded();
    writeFileSync(join(out, 'model.safetensors.index.json'), JSON.stringify({ weight_map: { a: first } }));
    expect(await problems(out)).toMatch(/1 weight files; the manifest lists 2/);
  });

  it('a weight file that does not belong, beside one file or several', async () => {
    const out = await sharded();
    copyFileSync(join(out, second), join(out, 'model-00003-of-00003.safetensors'));
    expect(await problems(out)).toMatch('model-00003-of-00003.safetensors is not in the manifest');
    const one = await single();
    copyFileSync(join(one, 'model.safetensors'), join(one, 'other.safetensors'));
    expect(await problems(one)).toMatch('other.safetensors is not in the manifest');
  });

  it('a missing companion, and one in whose place is something else', async () => {
    const root = await tempDir();
    const model = writeModel(join(root, 'model'), [small], { config: { model_type: 'x' } });
    mkdirSync(join(model, 'onnx'));
    for (const name of ['tokenizer.json', 'onnx/config.json']) writeFileSync(join(model, name), '{}');
    const out = join(root, 'out');
    await merge({ zeroshot: model, finetuned: model, alpha: 0.5, out });
    expect(await problems(out)).toBe('');
    rmSync(join(out, 'onnx'), { recursive: true });
    rmSync(join(out, 'tokenizer.json'));
    rmSync(join(out, 'config.json'));
    mkdirSync(join(out, 'config.json'));
    const [result] = await verify(out);
    expect(result!.problems).toEqual([
      'config.json is not a file',
      'onnx/config.json is missing',
      'tokenizer.json is missing',
    ]);
  });

  it('an index with nonsense in it beside a single file', async () => {
    const out = await single();
    for (const text of ['nonsense', '{"weight_map": {"b": "other.safetensors"}}']) {
      writeFileSync(join(out, 'model.safetensors.index.json'), text);
      expect(await problems(out)).toMatch(/index\.json|other\.safetensors/);
    }
    writeFileSync(join(out, 'model.safetensors.index.json'), '{"weight_map": {"b": "model.safetensors"}}');
    expect(await problems(out)).toBe('');
  });

  it('a directory in place of a weight file', async () => {
    for (const [out, name] of [
      [await single(), 'model.safetensors'],
      [await sharded(), second],
    ] as const) {
      rmSync(join(out, name));
      mkdirSync(join(out, name));
      const [result] = await verify(out);
      expect(result!.problems.join()).toMatch(
        new RegExp(`cannot read .*${name}: illegal operation on a directory`),
      );
      expect(result!.files.find((file) => file.name === name)!.ok).toBe(false);
    }
  });

  it('nothing wrong with an output of an earlier version, whose manifest names no companions', async () => {
    const out = await single();
    const path = join(out, 'wisemerge.json');
    const { companions: _, ...manifest } = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(path, JSON.stringify(manifest));
    expect(await problems(out)).toBe('');
  });
});

describe('verify refuses', () => {
  it('a directory that wisemerge did not write', async () => {
    await expect(verify(writeModel(join(await tempDir(), 'm'), [small]))).rejects.toMatchObject({
      code: 'ERR_MANIFEST',
    });
    await expect(verify(join(await tempDir(), 'absent'))).rejects.toMatchObject({ code: 'ERR_IO' });
  });

  it.each(['', '{', '[]', '{"wisemerge": 1}'])('a damaged manifest: %j', async (text) => {
    const out = await single();
    writeFileSync(join(out, 'wisemerge.json'), text);
    await expect(verify(out)).rejects.toMatchObject({
      code: 'ERR_MANIFEST',
      file: join(out, 'wisemerge.json'),
    });
  });

  it('a manifest that names files outside its directory', async () => {
    const out = await single();
    const path = join(out, 'wisemerge.json');
    const manifest = JSON.parse(readFileSync(path, 'utf8'));
    const files = [{ ...manifest.files[0], name: '../model/model.safetensors' }];
    const changes = [
      { files },
      ...['../model/x', 'a/../../x', '/etc/passwd', ''].map((name) => ({ companions: [name] })),
    ];
    for (const change of changes) {
      writeFileSync(path, JSON.stringify({ ...manifest, ...change }));
      await expect(verify(out)).rejects.toMatchObject({ code: 'ERR_MANIFEST' });
    }
  });

  it('to go on after an abort', async () => {
    const reason = new Error('enough');
    await expect(verify(await single(), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});
