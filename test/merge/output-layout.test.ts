// Which files an output has, and where its tensors lie in them.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type MergeOptions, merge } from '../../lib/index.js';
import { contents, listFiles, readModel, shardName, writeModel, writeShards } from '../support/models.js';
import { randomF32 } from '../support/random.js';
import { readStored, type Tensor, tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

const weight = (name: string, count: number): Tensor => tensor(name, 'F32', [count], randomF32(count, count));

async function mergeWithItself(model: string, options: Partial<MergeOptions> = {}): Promise<string> {
  const out = join(await tempDir(), 'out');
  await merge({ zeroshot: model, finetuned: model, alpha: 0.5, out, ...options });
  return out;
}

const readIndex = (path: string) =>
  JSON.parse(readFileSync(path, 'utf8')) as { metadata: object; weight_map: Record<string, string> };

describe('by default an output', () => {
  it('has the files, tensors, order and metadata of the zero-shot model', async () => {
    const shards = [
      [weight('z', 10), weight('a', 3)],
      [weight('m', 7), weight('b', 5)],
    ];
    const metadata = { format: 'pt', note: 'ünïcode "quoted"' };
    const model = writeShards(join(await tempDir(), 'model'), shards, { metadata });
    const out = await mergeWithItself(model);
    for (const [i, tensors] of shards.entries()) {
      const stored = readStored(join(out, shardName('model', i + 1, 2)));
      expect(stored.tensors.map(({ name }) => name)).toEqual(tensors.map(({ name }) => name));
      expect(stored.metadata).toEqual(metadata);
    }
    const index = readIndex(join(out, 'model.safetensors.index.json'));
    expect(index).toEqual({
      metadata: { total_parameters: 25, total_size: 100 },
      weight_map: {
        a: shardName('model', 1, 2),
        b: shardName('model', 2, 2),
        m: shardName('model', 2, 2),
        z: shardName('model', 1, 2),
      },
    });
    expect(Object.keys(index.weight_map)).toEqual(['a', 'b', 'm', 'z']);
  });

  it('starts the data of every file at a multiple of 4096 and fills the file to its last byte', async () => {
    const model = writeModel(join(await tempDir(), 'model'), [weight('w', 3001), weight('v', 1)], { pad: 1 });
    const path = join(await mergeWithItself(model), 'model.safetensors');
    const { dataStart, tensors } = readStored(path);
    expect(dataStart % 4096).toBe(0);
    expect(readFileSync(path).length).toBe(dataStart + 4 * 3002);
    let end = dataStart;
    for (const { offset, data } of tensors) {
      expect(offset).toBe(end);
      end += data.length;
    }
  });

  it('of a single file has no index, and no metadata where the input has none', async () => {
    const out = await mergeWithItself(writeModel(join(await tempDir(), 'model'), [weight('w', 3)]));
    expect(listFiles(out)).toEqual(['README.md', 'model.safetensors', 'wisemerge.json']);
    expect(readStored(join(out, 'model.safetensors')).metadata).toBeUndefined();
  });

  it("of a lone file keeps that file's name", async () => {
    const model = writeModel(join(await tempDir(), 'model'), [weight('w', 3)]);
    const out = await mergeWithItself(join(model, 'model.safetensors'));
    expect(listFiles(out)).toEqual(['README.md', 'model.safetensors', 'wisemerge.json']);
  });

  it('keeps names of diffusers', async () => {
    const model = writeShards(join(await tempDir(), 'unet'), [[weight('a', 3)], [weight('b', 3)]], {
      stem: 'diffusion_pytorch_model',
    });
    const out = await mergeWithItself(model);
    expect(listFiles(out)).toEqual([
      'README.md',
      shardName('diffusion_pytorch_model', 1, 2),
      shardName('diffusion_pytorch_model', 2, 2),
      'diffusion_pytorch_model.safetensors.index.json',
      'wisemerge.json',
    ]);
  });

  it('writes an index that keeps integer-like names and __proto__', async () => {
    const shards = [[weight('10', 1), weight('2', 1)], [weight('__proto__', 1)]];
    // An object literal cannot hold the key, JSON can.
    const map = `{"10":"${shardName('model', 1, 2)}","2":"${shardName('model', 1, 2)}","__proto__":"${shardName('model', 2, 2)}"}`;
    const model = writeShards(join(await tempDir(), 'model'), shards, {
      index: () => ({ weight_map: JSON.parse(map) }),
    });
    const text = readFileSync(join(await mergeWithItself(model), 'model.safetensors.index.json'), 'utf8');
    expect([...text.matchAll(/^ {4}"(.*)": /gm)].map(([, name]) => name)).toEqual(['10', '2', '__proto__']);
  });
});

describe('with a shard size an output', () => {
  const tensors = [
    weight('a', 100),
    weight('b', 100),
    weight('huge', 1000),
    weight('c', 100),
    weight('d', 150),
    weight('e', 1),
  ];

  async function shards(
    shardSize: number,
    model?: string,
  ): Promise<{ out: string; files: [string, string[]][] }> {
    const from = model ?? writeModel(join(await tempDir(), 'model'), tensors, { metadata: { format: 'pt' } });
    const out = await mergeWithItself(from, { shardSize });
    const names = listFiles(out).filter((name) => name.endsWith('.safetensors'));
    return {
      out,
      files: names.map((name) => [name, readStored(join(out, name)).tensors.map((one) => one.name)]),
    };
  }

  it('deals tensors out in order, and gives a tensor above the limit a file of its own', async () => {
    const { out, files } = await shards(1000);
    expect(files).toEqual([
      [shardName('model', 1, 4), ['a', 'b']],
      [shardName('model', 2, 4), ['huge']],
      [shardName('model', 3, 4), ['c', 'd']],
      [shardName('model', 4, 4), ['e']],
    ]);
    const index = readIndex(join(out, 'model.safetensors.index.json'));
    expect(index.metadata).toEqual({ total_parameters: 1451, total_size: 5804 });
    expect(index.weight_map).toEqual(
      Object.fromEntries(files.flatMap(([file, names]) => names.map((name) => [name, file]))),
    );
    expect(contents(readModel(out))).toEqual(contents(new Map(tensors.map((one) => [one.name, one]))));
    for (const [file] of files) expect(readStored(join(out, file)).metadata).toEqual({ format: 'pt' });
  });

  it('fills a file up to exactly the limit', async () => {
    expect((await shards(800)).files[0]).toEqual([shardName('model', 1, 4), ['a', 'b']]);
    expect((await shards(799)).files[0]![1]).toEqual(['a']);
  });

  it('of one file has no index, even if the zero-shot model is sharded', async () => {
    const model = writeShards(join(await tempDir(), 'model'), [tensors.slice(0, 2), tensors.slice(2)]);
    const { out, files } = await shards(1e6, model);
    expect(files).toEqual([['model.safetensors', tensors.map(({ name }) => name)]]);
    expect(existsSync(join(out, 'model.safetensors.index.json'))).toBe(false);
  });

  it('counts in bytes of the output dtype', async () => {
    const model = writeModel(join(await tempDir(), 'model'), tensors);
    const out = await mergeWithItself(model, { shardSize: 1000, dtype: 'bfloat16' });
    const names = listFiles(out).filter((name) => name.endsWith('.safetensors'));
    expect(names.map((name) => readStored(join(out, name)).tensors.map((one) => one.name))).toEqual([
      ['a', 'b'],
      ['huge'],
      ['c', 'd', 'e'],
    ]);
  });

  it('is a model again even if it has no tensors', async () => {
    const model = writeModel(join(await tempDir(), 'model'), []);
    expect((await shards(1000, model)).files).toEqual([['model.safetensors', []]]);
  });
});

describe('several alphas', () => {
  it('go to directories named for them, with as many digits as tell them apart', async () => {
    const model = writeModel(join(await tempDir(), 'model'), [weight('w', 3)]);
    const names = async (alpha: number[]) => [
      ...new Set(
        listFiles(await mergeWithItself(model, { alpha, extrapolate: true })).map(
          (name) => name.split('/')[0],
        ),
      ),
    ];
    expect(await names([0, 0.1, 1])).toEqual(['alpha_0.0000', 'alpha_0.1000', 'alpha_1.0000']);
    expect(await names([0.5])).toEqual(['alpha_0.5000']);
    expect(await names([0.12341, 0.12342])).toEqual(['alpha_0.12341', 'alpha_0.12342']);
    expect(await names([-0.5, 1.5])).toEqual(['alpha_-0.5000', 'alpha_1.5000']);
  });
});
