// Checkpoints of torch.save, written by Python's own pickle and zipfile, as inputs of everything that opens models.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { diff, merge, openCheckpoint, planMerge } from '../../lib/index.js';
import { contents, readModel, writeModel } from '../support/models.js';
import { randomF32 } from '../support/random.js';
import { tensor, writeStored } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';
import { stateDict, writeTorch } from '../support/torch.js';

const w = tensor('w', 'F32', [4, 3], randomF32(12, 1));
const b = tensor('b', 'BF16', [4], Buffer.from('0011223344556677', 'hex'));
const n = tensor('bn.num_batches_tracked', 'I64', [], Buffer.alloc(8, 3));
const all = [w, b, n];
const refused = async (path: string) =>
  openCheckpoint(path).then(
    () => 'opened',
    (error: unknown) => error,
  );

describe('a checkpoint of torch.save', () => {
  it.each([2, 3, 4, 5])('opens, pickled with protocol %i', async (protocol) => {
    const path = join(await tempDir(), 'm.pt');
    writeTorch(path, { ...stateDict(all), protocol });
    await using checkpoint = await openCheckpoint(path);
    expect([...checkpoint.tensors.keys()].sort()).toEqual(['b', 'bn.num_batches_tracked', 'w']);
    for (const { name, dtype, shape, data } of all) {
      expect(checkpoint.tensors.get(name)).toMatchObject({ dtype, shape, bytes: data.length });
      expect(Buffer.from(await checkpoint.readTensor(name))).toEqual(data);
    }
    expect(checkpoint.bytes).toBe(48 + 8 + 8);
  });

  it('with parameters, shared storages and offsets, under a wrapper', async () => {
    const path = join(await tempDir(), 'm.pth');
    const { root, storages } = stateDict([w]);
    const model = {
      dict: [
        ['embed', { parameter: root.dict[0]![1] }],
        ['head', root.dict[0]![1]],
        ['tail', { tensor: ['0', 6, [2, 3], [3, 1]] }],
      ] as [string, never][],
    };
    const optimizer = { dict: [['m', root.dict[0]![1]]] as [string, never][] };
    writeTorch(path, {
      root: {
        dict: [
          ['epoch', { value: 3.5 }],
          ['optimizer', optimizer],
          ['model', model],
        ],
      },
      storages,
    });
    await using checkpoint = await openCheckpoint(path);
    expect([...checkpoint.tensors.keys()]).toEqual(['embed', 'head', 'tail']);
    expect(checkpoint.notes).toEqual(['m.pth: the model is "model"; left out: "optimizer" (1 tensors)']);
    expect(Buffer.from(await checkpoint.readTensor('tail'))).toEqual(w.data.subarray(24));
  });

  it('never runs what it holds', async () => {
    const directory = await tempDir();
    const path = join(directory, 'm.bin');
    const witness = join(directory, 'witness');
    const { root, storages } = stateDict(all);
    root.dict.push(['x', { call: ['os', 'system', [`touch ${witness}`]] }]);
    writeTorch(path, { root, storages });
    expect(await refused(path)).toMatchObject({
      code: 'ERR_PICKLE_GLOBAL',
      file: path,
      message: expect.stringContaining('posix.system'),
    });
    expect(existsSync(witness)).toBe(false);
  });

  it('is refused if compressed, transposed or something else', async () => {
    const path = join(await tempDir(), 'm.bin');
    writeTorch(path, { ...stateDict(all), compressed: true });
    expect(await refused(path)).toMatchObject({ code: 'ERR_TORCH_FILE', message: /compressed/ });
    const { storages } = stateDict([w]);
    writeTorch(path, { root: { dict: [['w', { tensor: ['0', 0, [3, 4], [1, 3]] }]] }, storages });
    expect(await refused(path)).toMatchObject({ code: 'ERR_TORCH_TENSOR', message: /"w".*contiguous/ });
    writeFileSync(path, 'nothing of the kind');
    expect(await refused(path)).toMatchObject({ code: 'ERR_TORCH_FILE', file: path });
  });
});

describe('a directory of torch.save', () => {
  it('opens from pytorch_model.bin beside other pickles', async () => {
    const directory = await tempDir();
    writeTorch(join(directory, 'pytorch_model.bin'), stateDict(all));
    writeFileSync(join(directory, 'training_args.bin'), 'x');
    writeFileSync(join(directory, 'config.json'), '{"model_type":"t"}');
    expect(await openCheckpoint(directory)).toMatchObject({ config: { model_type: 't' }, notes: [] });
  });

  it('opens from an index and shards, and is merged like the same model in safetensors', async () => {
    const root = await tempDir();
    const [x, y] = [join(root, 'x'), join(root, 'y')];
    const other = all.map((one) =>
      one.dtype === 'F32' ? { ...one, data: Buffer.from(randomF32(12, 2).buffer) } : one,
    );
    mkdirSync(x);
    const names = ['pytorch_model-00001-of-00002.bin', 'pytorch_model-00002-of-00002.bin'];
    writeTorch(join(x, names[0]!), stateDict([w]));
    writeTorch(join(x, names[1]!), stateDict([b, n]));
    const weight_map = { w: names[0], b: names[1], 'bn.num_batches_tracked': names[1] };
    writeFileSync(join(x, 'pytorch_model.bin.index.json'), JSON.stringify({ weight_map }));
    writeModel(y, other);
    writeModel(join(root, 'plain'), all);

    const merged = await merge({ zeroshot: x, finetuned: y, alpha: 0.3, out: join(root, 'out') });
    await merge({ zeroshot: join(root, 'plain'), finetuned: y, alpha: 0.3, out: join(root, 'expected') });
    expect(contents(readModel(join(root, 'out')))).toEqual(contents(readModel(join(root, 'expected'))));
    for (const name of ['model-00001-of-00002.safetensors', 'model.safetensors.index.json'])
      expect(existsSync(join(root, 'out', name))).toBe(true);
    expect(merged.warnings).toEqual([]);
    const plan = await planMerge({ zeroshot: x, finetuned: y, alpha: 0.3, out: join(root, 'p') });
    expect(plan.files.map(({ name }) => name)[1]).toBe('model-00002-of-00002.safetensors');
    const distances = async (path: string) => (await diff(path, y)).tensors;
    const byName = (list: { name: string }[]) =>
      [...list].sort((one, two) => one.name.localeCompare(two.name));
    expect(byName([...(await distances(x))])).toEqual(byName([...(await distances(join(root, 'plain')))]));
  });

  it('gives safetensors the preference, and says so', async () => {
    const directory = await tempDir();
    writeTorch(join(directory, 'pytorch_model.bin'), stateDict([w, b]));
    writeStored(join(directory, 'model.safetensors'), [w]);
    const { tensors, notes } = await openCheckpoint(directory);
    expect([...tensors.keys()]).toEqual(['w']);
    expect(notes).toEqual([expect.stringMatching(/pytorch_model\.bin is passed over/)]);
  });
});
