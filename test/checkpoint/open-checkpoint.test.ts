// Opening models: layouts of directories, shard indexes, and the lies an index can tell.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { xxh3 } from '@node-rs/xxhash';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../lib/index.js';
import { shardName, writeModel, writeShards } from '../support/models.js';
import { randomF32 } from '../support/random.js';
import { tensor, writeStored } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

const a = tensor('a', 'F32', [2, 3], randomF32(6, 1));
const b = tensor('b', 'BF16', [4], Buffer.alloc(8, 1));
const [first, second] = [shardName('model', 1, 2), shardName('model', 2, 2)];

async function refusal(path: string): Promise<Record<string, unknown>> {
  try {
    await openCheckpoint(path);
  } catch (error) {
    return error as Record<string, unknown>;
  }
  throw new Error(`${path} was opened`);
}

describe('a model opens from', () => {
  it('a directory with one file', async () => {
    const directory = writeModel(join(await tempDir(), 'm'), [a, b], {
      config: { model_type: 'x' },
      metadata: { format: 'pt' },
    });
    const { files, tensors, parameters, bytes, config, index, path } = await openCheckpoint(directory);
    expect(path).toBe(directory);
    expect(files.map(({ name }) => name)).toEqual(['model.safetensors']);
    expect([...files[0]!.metadata]).toEqual([['format', 'pt']]);
    const header = readFileSync(join(directory, 'model.safetensors')).subarray(0, tensors.get('a')!.offset);
    expect(files[0]!.headerHash).toBe(xxh3.xxh64(header).toString(16).padStart(16, '0'));
    expect([...tensors.keys()]).toEqual(['a', 'b']);
    expect(tensors.get('a')).toMatchObject({ dtype: 'F32', shape: [2, 3], count: 6, bytes: 24 });
    expect({ parameters, bytes, config, index }).toEqual({
      parameters: 10,
      bytes: 32,
      config: { model_type: 'x' },
      index: undefined,
    });
  });

  it('a directory with an index and shards, in the order of the shards', async () => {
    const directory = writeShards(join(await tempDir(), 'm'), [[b], [a]]);
    const { files, tensors } = await openCheckpoint(directory);
    expect(files.map(({ name }) => name)).toEqual([first, second]);
    expect([...tensors.keys()]).toEqual(['b', 'a']);
  });

  it('a path to the file or to the index itself', async () => {
    const directory = writeShards(join(await tempDir(), 'm'), [[a], [b]]);
    expect((await openCheckpoint(join(directory, first))).tensors.size).toBe(1);
    expect((await openCheckpoint(join(directory, 'model.safetensors.index.json'))).tensors.size).toBe(2);
  });

  it('a relative path', async () => {
    const directory = writeModel(join(await tempDir(), 'm'), [a]);
    expect((await openCheckpoint(relative(process.cwd(), directory))).path).toBe(directory);
  });

  it.each(['diffusion_pytorch_model', 'open_clip_model', 'adapter_model', 'anything'])(
    'a directory with %s.safetensors',
    async (stem) => {
      const root = await tempDir();
      writeStored(join(root, `${stem}.safetensors`), [a]);
      const checkpoint = await openCheckpoint(root);
      expect([...checkpoint.tensors.keys()]).toEqual(['a']);
      expect(checkpoint.isAdapter).toBe(stem === 'adapter_model');
    },
  );

  it('a directory with a known name beside others', async () => {
    const root = await tempDir();
    for (const name of ['model', 'extra', 'model.fp16']) writeStored(join(root, `${name}.safetensors`), [a]);
    expect((await openCheckpoint(root)).files[0]!.name).toBe('model.safetensors');
  });

  it('a snapshot of the Hugging Face cache, whose files are links to blobs', async () => {
    const root = await tempDir();
    const real = writeShards(join(root, 'blobs'), [[a], [b]]);
    const snapshot = join(root, 'snapshots', 'abc');
    mkdirSync(snapshot, { recursive: true });
    for (const name of [first, second, 'model.safetensors.index.json'])
      symlinkSync(join('../../blobs', name), join(snapshot, name));
    expect((await openCheckpoint(snapshot)).tensors.size).toBe(2);
    rmSync(join(real, second));
    expect(await refusal(snapshot)).toMatchObject({ code: 'ERR_IO', file: join(snapshot, second) });
  });

  it('files of which only the header is read', async () => {
    const root = await tempDir();
    const path = join(root, 'huge.safetensors');
    const json = '{"a":{"dtype":"F32","shape":[2500000000,4],"data_offsets":[0,40000000000]}}';
    writeFileSync(path, Buffer.concat([Buffer.from([json.length, 0, 0, 0, 0, 0, 0, 0]), Buffer.from(json)]));
    // Sparse: 40 GB that take no room.
    execFileSync('truncate', ['-s', String(8 + json.length + 4e10), path]);
    const { tensors, parameters } = await openCheckpoint(root);
    expect(parameters).toBe(1e10);
    expect(tensors.get('a')).toMatchObject({ offset: 8 + json.length, bytes: 4e10 });
  });
});

describe('a tensor', () => {
  it('is read whole, by name', async () => {
    await using checkpoint = await openCheckpoint(
      writeShards(join(await tempDir(), 'm'), [[a], [b]], { pad: 1 }),
    );
    expect(Buffer.from(await checkpoint.readTensor('a'))).toEqual(a.data);
    expect(Buffer.from(await checkpoint.readTensor('b'))).toEqual(b.data);
    await expect(checkpoint.readTensor('c')).rejects.toMatchObject({
      code: 'ERR_NO_SUCH_TENSOR',
      tensor: 'c',
    });
    await checkpoint.close();
    expect((await checkpoint.readTensor('a')).length).toBe(24);
  });

  it('of a file that shrank is an error, not zeros', async () => {
    const directory = writeModel(join(await tempDir(), 'm'), [a]);
    await using checkpoint = await openCheckpoint(directory);
    writeFileSync(join(directory, 'model.safetensors'), 'short');
    await expect(checkpoint.readTensor('a')).rejects.toMatchObject({
      code: 'ERR_INPUT_CHANGED',
      tensor: 'a',
    });
  });

  it('of a file that was written anew is an error, before its first read and between two', async () => {
    const swapped = { ...b, name: 'c', dtype: a.dtype, shape: a.shape, data: Buffer.alloc(24, 1) };
    for (const readBefore of [true, false]) {
      const directory = writeModel(join(await tempDir(), 'm'), [a, swapped]);
      await using checkpoint = await openCheckpoint(directory);
      if (readBefore) await checkpoint.readTensor('a');
      writeModel(directory, [swapped, a]);
      // Clocks of file systems may be too coarse for a test.
      utimesSync(join(directory, 'model.safetensors'), new Date(0), new Date(0));
      await expect(checkpoint.readTensor('a')).rejects.toMatchObject({
        code: 'ERR_INPUT_CHANGED',
        tensor: 'a',
        file: join(directory, 'model.safetensors'),
      });
    }
  });

  it('is read in part', async () => {
    await using checkpoint = await openCheckpoint(writeModel(join(await tempDir(), 'm'), [b, a]));
    for (const [from, length] of [
      [0, 24],
      [3, 7],
      [24, 0],
    ] as const) {
      expect(Buffer.from(await checkpoint.readTensorRange('a', from, length))).toEqual(
        a.data.subarray(from, from + length),
      );
    }
  });

  it.each([
    [Number.NaN, 4],
    [0.5, 4],
    [0, Number.NaN],
    [0, 0.5],
    ['0', '4'],
    [0, '4'],
    [undefined, 4],
    [0, undefined],
    [-1, 4],
    [0, -1],
    [0, 25],
    [25, 0],
    [2 ** 53, 0],
    [1, Number.POSITIVE_INFINITY],
  ])('is refused in a part that is none: %j, %j', async (from, length) => {
    await using checkpoint = await openCheckpoint(writeModel(join(await tempDir(), 'm'), [a, b]));
    await expect(checkpoint.readTensorRange('a', from as number, length as number)).rejects.toMatchObject({
      code: 'ERR_USAGE',
      tensor: 'a',
      hint: expect.any(String),
    });
  });

  it.each([
    ['too little', new Uint8Array(23)],
    ['too much', new Uint8Array(25)],
    ['elements that are no bytes', new Float32Array(6)],
    ['nothing', undefined],
  ])('is refused memory that is not its own size in bytes: %s', async (_, memory) => {
    await using checkpoint = await openCheckpoint(writeModel(join(await tempDir(), 'm'), [a, b]));
    await expect(checkpoint.readTensorInto('a', memory as Uint8Array)).rejects.toMatchObject({
      code: 'ERR_USAGE',
      tensor: 'a',
    });
  });
});

describe('an index is refused', () => {
  const hostile = [
    '../model.safetensors',
    '/etc/passwd',
    'sub/model.safetensors',
    'sub\\m.safetensors',
    '..',
    '.',
    '',
    'a\0.safetensors',
  ];
  it.each(hostile)('that points to %j', async (shard) => {
    const root = await tempDir();
    writeModel(root, [a]);
    const directory = writeShards(join(root, 'm'), [[a]], { index: () => ({ weight_map: { a: shard } }) });
    const error = await refusal(directory);
    expect(error).toMatchObject({ code: 'ERR_INDEX', file: join(directory, 'model.safetensors.index.json') });
    expect(error.message).toMatch(/not a plain file name/);
  });

  const malformed: [string, string, RegExp][] = [
    ['is not JSON', '{"weight_map": {', /not valid JSON/],
    ['is empty', '', /not valid JSON/],
    ['is an array', '[]', /"weight_map" is missing/],
    ['is null', 'null', /"weight_map" is missing/],
    ['has no weight_map', '{"metadata": {}}', /"weight_map" is missing/],
    ['has an array for a weight_map', '{"weight_map": ["a"]}', /"weight_map" is missing/],
    ['has an empty weight_map', '{"weight_map": {}}', /"weight_map" is empty/],
    ['maps a tensor to a number', '{"weight_map": {"a": 1}}', /is not a string/],
    ['maps a tensor to null', '{"weight_map": {"a": null}}', /is not a string/],
    [
      'names more shards than any model has',
      JSON.stringify({
        weight_map: Object.fromEntries(Array.from({ length: 10_001 }, (_, i) => [`t${i}`, `s${i}`])),
      }),
      /10001 shards; the limit/,
    ],
  ];
  it.each(malformed)('that %s', async (_name, text, message) => {
    const directory = writeShards(join(await tempDir(), 'm'), [[a]]);
    writeFileSync(join(directory, 'model.safetensors.index.json'), text);
    const error = await refusal(directory);
    expect(error.code).toBe('ERR_INDEX');
    expect(error.message).toMatch(message);
  });

  it('if a shard is missing', async () => {
    const directory = writeShards(join(await tempDir(), 'm'), [[a], [b]]);
    rmSync(join(directory, second));
    expect(await refusal(directory)).toMatchObject({ code: 'ERR_IO', file: join(directory, second) });
  });

  it('if a tensor is in two shards', async () => {
    const directory = writeShards(join(await tempDir(), 'm'), [[a], [a, b]], {
      index: () => ({ weight_map: { a: first, b: second } }),
    });
    const error = await refusal(directory);
    expect(error).toMatchObject({ code: 'ERR_INDEX', tensor: 'a' });
    expect(error.message).toMatch(/in two shards/);
  });

  it('if a shard holds a tensor that is not listed', async () => {
    const directory = writeShards(join(await tempDir(), 'm'), [[a], [b, tensor('secret', 'F32', [1])]], {
      index: () => ({ weight_map: { a: first, b: second } }),
    });
    const error = await refusal(directory);
    expect(error).toMatchObject({ code: 'ERR_INDEX', tensor: 'secret', file: join(directory, second) });
  });

  it('if it lists a tensor that its shard does not hold', async () => {
    const directory = writeShards(join(await tempDir(), 'm'), [[a], [b]], {
      index: () => ({ weight_map: { a: first, b: second, ghost: second } }),
    });
    expect(await refusal(directory)).toMatchObject({ code: 'ERR_INDEX', tensor: 'ghost' });
  });

  it('if it puts a tensor in the wrong shard', async () => {
    const directory = writeShards(join(await tempDir(), 'm'), [[a], [b]], {
      index: () => ({ weight_map: { a: second, b: first } }),
    });
    const error = await refusal(directory);
    expect(error.code).toBe('ERR_INDEX');
    expect(error.message).toMatch(/but it is in/);
  });

  it('if a shard is damaged, and the shard is named', async () => {
    const directory = writeShards(join(await tempDir(), 'm'), [[a], [b]]);
    const whole = readFileSync(join(directory, second));
    writeFileSync(join(directory, second), whole.subarray(0, whole.length - 1));
    expect(await refusal(directory)).toMatchObject({
      code: 'ERR_SAFETENSORS_OFFSETS',
      file: join(directory, second),
    });
  });
});

describe('a path is refused', () => {
  it('that does not exist', async () => {
    const path = join(await tempDir(), 'absent');
    const error = await refusal(path);
    expect(error).toMatchObject({ code: 'ERR_IO', file: path });
    expect(error.message).toMatch(/no such file/);
  });

  it('of a file of another kind', async () => {
    const path = join(await tempDir(), 'model.gguf');
    writeFileSync(path, 'x');
    expect(await refusal(path)).toMatchObject({ code: 'ERR_NOT_A_CHECKPOINT', file: path });
  });

  it('of a directory that holds several models', async () => {
    const root = await tempDir();
    for (const name of ['x', 'y']) writeStored(join(root, `${name}.safetensors`), [a]);
    const error = await refusal(root);
    expect(error.code).toBe('ERR_NOT_A_CHECKPOINT');
    expect(error.message).toMatch(/several models: x.safetensors, y.safetensors/);
  });

  const without: [string, string, RegExp][] = [
    ['pickles of other things only', 'optimizer.pt', /path of optimizer.pt/],
    ['a diffusers pipeline', 'model_index.json', /diffusers pipeline: give one of its components/],
    ['nothing of use', 'notes.txt', /holds model.safetensors/],
  ];
  it.each(without)('of a directory with %s', async (_name, file, hint) => {
    const root = await tempDir();
    writeFileSync(join(root, file), '{}');
    const error = await refusal(root);
    expect(error.code).toBe('ERR_NOT_A_CHECKPOINT');
    expect(error.hint).toMatch(hint);
  });

  it('of a directory with shards and no index', async () => {
    const directory = writeShards(join(await tempDir(), 'm'), [[a], [b]]);
    rmSync(join(directory, 'model.safetensors.index.json'));
    expect(await refusal(directory)).toMatchObject({ code: 'ERR_INDEX', file: join(directory, first) });
  });

  it('of a pointer of Git LFS, with the command that fetches the file', async () => {
    const root = await tempDir();
    const path = join(root, 'model.safetensors');
    writeFileSync(path, `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 9\n`);
    expect(await refusal(root)).toMatchObject({
      code: 'ERR_NOT_A_CHECKPOINT',
      file: path,
      message: expect.stringMatching(/pointer of Git LFS, not the file itself/),
      hint: expect.stringMatching(/git lfs pull/),
    });
  });

  it('of a pipe, without waiting for a writer', async ({ skip }) => {
    if (!existsSync('/usr/bin/mkfifo')) return skip('no mkfifo');
    const root = await tempDir();
    execFileSync('mkfifo', [join(root, 'model.safetensors')]);
    expect(await refusal(root)).toMatchObject({ code: 'ERR_NOT_A_CHECKPOINT' });
  }, 5000);

  it('of a directory that is called like a file', async () => {
    const root = await tempDir();
    mkdirSync(join(root, 'model.safetensors'));
    expect(await refusal(root)).toMatchObject({ code: 'ERR_NOT_A_CHECKPOINT' });
  });

  it('after an abort, with the reason', async () => {
    const reason = new Error('enough');
    const directory = writeModel(join(await tempDir(), 'm'), [a]);
    await expect(openCheckpoint(directory, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});
