// Which file or index of a directory is the model, where libraries keep variants of one side by side.
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { merge, openCheckpoint, verify } from '../../lib/index.js';
import { listFiles, shardName, writeModel, writeShards } from '../support/models.js';
import { randomF32 } from '../support/random.js';
import { tensor, writeStored } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

const a = tensor('a', 'F32', [2, 3], randomF32(6, 1));
const b = tensor('b', 'BF16', [4], Buffer.alloc(8, 1));
const half = tensor('a', 'F16', [2, 3]);

/** A variant in shards as save_pretrained(variant=…) writes it: the index has the variant before `.json`. */
function writeVariant(directory: string, variant = 'fp32', stem = 'model'): string {
  writeShards(directory, [[a], [b]], { stem: `${stem}.${variant}` });
  const index = `${stem}.safetensors.index.${variant}.json`;
  renameSync(join(directory, `${stem}.${variant}.safetensors.index.json`), join(directory, index));
  return index;
}
const namesOf = async (path: string): Promise<string[]> =>
  (await openCheckpoint(path)).files.map(({ name }) => name);

describe('of a directory with variants', () => {
  it('the file without a variant is opened, beside shards of one (Whisper large v3)', async () => {
    const root = writeModel(join(await tempDir(), 'm'), [half]);
    writeVariant(root);
    expect(await namesOf(root)).toEqual(['model.safetensors']);
    // Shards of a variant whose index is missing are not what is opened either.
    rmSync(join(root, 'model.safetensors.index.fp32.json'));
    expect(await namesOf(root)).toEqual(['model.safetensors']);
  });

  it('the index without a variant is opened', async () => {
    const root = writeShards(join(await tempDir(), 'm'), [[a], [b]]);
    writeVariant(root, 'fp16');
    writeStored(join(root, 'model.bf16.safetensors'), [a]);
    expect(await namesOf(root)).toEqual([shardName('model', 1, 2), shardName('model', 2, 2)]);
  });

  it.each(['model', 'diffusion_pytorch_model'])('the only one is opened: shards of %s', async (stem) => {
    const root = join(await tempDir(), 'm');
    writeVariant(root, 'fp16', stem);
    expect(await namesOf(root)).toEqual([shardName(`${stem}.fp16`, 1, 2), shardName(`${stem}.fp16`, 2, 2)]);
  });

  it('the only one is opened: a single file', async () => {
    const root = await tempDir();
    writeStored(join(root, 'diffusion_pytorch_model.fp16.safetensors'), [half]);
    expect(await namesOf(root)).toEqual(['diffusion_pytorch_model.fp16.safetensors']);
  });

  it('the only one is opened: shards as older versions of diffusers name them', async () => {
    const root = join(await tempDir(), 'm');
    const shards = [1, 2].map((i) => `diffusion_pytorch_model-0000${i}-of-00002.fp16.safetensors`);
    writeShards(root, [[a], [b]], {
      stem: 'diffusion_pytorch_model',
      index: () => ({ weight_map: { a: shards[0], b: shards[1] } }),
    });
    for (const [i, shard] of shards.entries())
      renameSync(join(root, shardName('diffusion_pytorch_model', i + 1, 2)), join(root, shard));
    renameSync(
      join(root, 'diffusion_pytorch_model.safetensors.index.json'),
      join(root, 'diffusion_pytorch_model.safetensors.fp16.index.json'),
    );
    expect(await namesOf(root)).toEqual(shards);
  });

  it('one is asked for among several', async () => {
    const root = join(await tempDir(), 'm');
    const index = writeVariant(root);
    writeStored(join(root, 'model.fp16.safetensors'), [half]);
    await expect(openCheckpoint(root)).rejects.toMatchObject({
      code: 'ERR_NOT_A_CHECKPOINT',
      message: expect.stringContaining('model.fp16.safetensors, model.safetensors.index.fp32.json'),
      hint: expect.stringContaining('path of the one file or index'),
    });
    expect(await namesOf(join(root, index))).toHaveLength(2);
    expect(await namesOf(join(root, 'model.fp16.safetensors'))).toEqual(['model.fp16.safetensors']);
  });

  it('shards without their index are refused, and the index is named', async () => {
    const root = join(await tempDir(), 'm');
    rmSync(join(root, writeVariant(root)));
    await expect(openCheckpoint(root)).rejects.toMatchObject({
      code: 'ERR_INDEX',
      file: join(root, shardName('model.fp32', 1, 2)),
      message: expect.stringContaining('no model.safetensors.index.fp32.json'),
    });
  });
});

it('shards without their index are not passed over for an adapter beside them, nor a model for its shards', async () => {
  const root = writeShards(join(await tempDir(), 'm'), [[a], [b]]);
  rmSync(join(root, 'model.safetensors.index.json'));
  writeStored(join(root, 'adapter_model.safetensors'), [a]);
  await expect(openCheckpoint(root)).rejects.toMatchObject({
    code: 'ERR_INDEX',
    file: join(root, shardName('model', 1, 2)),
  });
  writeStored(join(root, 'model.safetensors'), [a]);
  expect(await namesOf(root)).toEqual(['model.safetensors']);
});

describe('outputs of a variant', () => {
  const mergeWithItself = async (zeroshot: string, shardSize?: number): Promise<string> => {
    const out = join(await tempDir(), 'out');
    const sized = shardSize === undefined ? {} : { shardSize };
    await merge({ zeroshot, finetuned: zeroshot, alpha: 0.5, out, ...sized });
    expect((await verify(out)).flatMap(({ problems }) => problems)).toEqual([]);
    return out;
  };

  it('have the names that load without asking for one', async () => {
    const root = join(await tempDir(), 'm');
    const index = writeVariant(root);
    const names = [shardName('model', 1, 2), shardName('model', 2, 2)];
    for (const path of [root, join(root, index)]) {
      const out = await mergeWithItself(path);
      expect(await namesOf(out)).toEqual(names);
      expect(listFiles(out)).toContain('model.safetensors.index.json');
    }
    const lone = join(await tempDir(), 'model.fp16.safetensors');
    writeStored(lone, [half]);
    expect(await namesOf(await mergeWithItself(lone))).toEqual(['model.safetensors']);
  });

  it('keep names that only look like variants, of parts that one index ties', async () => {
    const root = await tempDir();
    const [text, vision] = ['model.text.safetensors', 'model.vision.safetensors'];
    writeStored(join(root, text), [a]);
    writeStored(join(root, vision), [b]);
    const index = { weight_map: { a: text, b: vision } };
    writeFileSync(join(root, 'model.safetensors.index.json'), JSON.stringify(index));
    expect(await namesOf(await mergeWithItself(root))).toEqual([text, vision]);
  });

  it('have them in shards of another size too', async () => {
    const root = join(await tempDir(), 'm');
    writeVariant(root, 'fp16', 'diffusion_pytorch_model');
    const out = await mergeWithItself(root, 8);
    expect(await namesOf(out)).toEqual([1, 2].map((i) => shardName('diffusion_pytorch_model', i, 2)));
    expect(listFiles(out)).toContain('diffusion_pytorch_model.safetensors.index.json');
  });
});
