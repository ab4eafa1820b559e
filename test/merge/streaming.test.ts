// However the work is cut up, the bytes are the same: that of an oracle which knows nothing of blocks.
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { OutputWriter } from '../../lib/checkpoint/output-writer.js';
import { diff, type MergeOptions, merge } from '../../lib/index.js';
import { planMerge } from '../../lib/merge/plan.js';
import { lerpData } from '../support/exact.js';
import { contents, readModel, writeModel, writeShards } from '../support/models.js';
import { randomBf16, randomBytes, randomF32 } from '../support/random.js';
import { readStored, type Tensor, tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

const f32 = { x: 'F32', y: 'F32', out: 'F32' };
const bf16 = { x: 'BF16', y: 'BF16', out: 'BF16' };

/** Large and tiny tensors of two dtypes with integers between them. */
function mixedModel(seed: number): Tensor[] {
  const tensors: Tensor[] = [tensor('embed', 'BF16', [300, 1000], randomBf16(300_000, seed))];
  for (let i = 0; i < 200; i++) {
    const count = 1 + ((i * 37) % 300);
    tensors.push(
      i % 3
        ? tensor(`layers.${i}.w`, 'BF16', [count], randomBf16(count, seed + i))
        : tensor(`layers.${i}.b`, 'F32', [count], randomF32(count, seed + i)),
    );
  }
  tensors.push(tensor('ids', 'I64', [64], randomBytes(512, 1)));
  tensors.push(tensor('head', 'F32', [300, 250], randomF32(75_000, seed + 1000)));
  return tensors;
}

function oracle(x: readonly Tensor[], y: readonly Tensor[], alpha: number): Record<string, string> {
  const tuned = new Map(y.map((one) => [one.name, one]));
  const merged = x.map((one): [string, Tensor] => {
    const other = tuned.get(one.name)!.data;
    if (one.dtype !== 'F32' && one.dtype !== 'BF16') return [one.name, one];
    const data = lerpData(one.data, other, alpha, one.dtype === 'F32' ? f32 : bf16);
    return [one.name, { ...one, data }];
  });
  return contents(new Map(merged));
}

/** A different order, the same for the same length. */
function scatter<T>(items: readonly T[]): T[] {
  return items
    .map((item, i) => ({ item, key: (i * 7919) % 1009 }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}

describe('the output of a merge', () => {
  const [x, y] = [mixedModel(1), mixedModel(5000)];
  const expected = oracle(x, y, 0.3);

  const ways: [string, Partial<MergeOptions>][] = [
    ['the defaults', {}],
    ['the smallest memory budget', { memory: 4 * 2 ** 20 }],
    ['a large memory budget', { memory: 256 * 2 ** 20 }],
    ['one thread', { threads: 1 }],
    ['seven threads', { threads: 7 }],
    ['reads past the page cache', { readMode: 'direct' }],
    ['reads through the page cache', { readMode: 'cached', memory: 5_000_001 }],
  ];
  it.each(ways)('is the exact interpolation with %s', async (_name, options) => {
    const root = await tempDir();
    const zeroshot = writeModel(join(root, 'x'), x);
    const finetuned = writeModel(join(root, 'y'), y);
    const out = join(root, 'out');
    await merge({ zeroshot, finetuned, alpha: 0.3, out, ...options });
    expect(contents(readModel(out))).toEqual(expected);
  });

  it('does not depend on the order of tensors and shards in the fine-tuned model', async () => {
    const root = await tempDir();
    const zeroshot = writeModel(join(root, 'x'), x);
    const scattered = scatter(y);
    const shards = [scattered.slice(90), scattered.slice(0, 30), scattered.slice(30, 90)];
    const finetuned = writeShards(join(root, 'y'), shards, { pad: 1 });
    const out = join(root, 'out');
    await merge({ zeroshot, finetuned, alpha: 0.3, out, memory: 4 * 2 ** 20 });
    expect(contents(readModel(out))).toEqual(expected);
  });

  it('keeps the order of the zero-shot model, whatever that is', async () => {
    const root = await tempDir();
    const zeroshot = writeModel(join(root, 'x'), scatter(x));
    const finetuned = writeModel(join(root, 'y'), y);
    const out = join(root, 'out');
    await merge({ zeroshot, finetuned, alpha: 0.3, out, readMode: 'direct' });
    expect(contents(readModel(out))).toEqual(expected);
    const names = readStored(join(out, 'model.safetensors')).tensors.map(({ name }) => name);
    expect(names).toEqual(scatter(x).map(({ name }) => name));
  });

  it('is the same for several alphas in one pass as for each alone', async () => {
    const root = await tempDir();
    const zeroshot = writeModel(join(root, 'x'), x);
    const finetuned = writeModel(join(root, 'y'), y);
    const { outputs } = await merge({ zeroshot, finetuned, alpha: [0.3, 0.7, 1], out: join(root, 'all') });
    for (const { alpha, directory } of outputs) {
      const alone = join(root, `alone-${alpha}`);
      await merge({ zeroshot, finetuned, alpha, out: alone });
      expect(contents(readModel(directory))).toEqual(contents(readModel(alone)));
    }
  });
});

/** Ranges of this budget are 4 MiB. */
const smallest = 4 * 2 ** 20;

describe('tensors that lie in several ranges', () => {
  /** Small whole numbers, of which every place has its own: interpolation half-way is exact. */
  const numbers = (count: number, plus: number) =>
    Float32Array.from({ length: count }, (_, i) => (i % 61) + plus);
  const long = (plus: number): Tensor[] => {
    const bf16 = Uint16Array.from(new Uint32Array(numbers(1_500_003, plus).buffer), (bits) => bits >>> 16);
    return [
      tensor('ids', 'I64', [300_001], randomBytes(8 * 300_001, 3)),
      tensor('w', 'F32', [700_001], Buffer.from(numbers(700_001, plus).buffer)),
      tensor('v', 'BF16', [1_500_003], Buffer.from(bf16.buffer)),
    ];
  };

  it.each(['direct', 'cached'] as const)('are interpolated and copied exactly, read %s', async (readMode) => {
    const root = await tempDir();
    const zeroshot = writeModel(join(root, 'x'), long(1));
    const finetuned = writeShards(join(root, 'y'), [long(9).slice(1), long(9).slice(0, 1)], { pad: 1 });
    const out = join(root, 'out');
    await merge({ zeroshot, finetuned, alpha: 0.5, out, readMode, memory: smallest });
    expect(contents(readModel(out))).toEqual(contents(new Map(long(5).map((one) => [one.name, one]))));
  });

  it('are compared exactly, and what is not finite in them is counted', async () => {
    const root = await tempDir();
    const count = 6_000_000;
    const bytes = Buffer.alloc(count, 0x38); // 1 in F8_E4M3
    const changed = Buffer.from(bytes);
    const at = [0, 1, 2_999_999, 3_000_000, 5_000_000, count - 1];
    for (const i of at) changed[i] = 0x40; // 2
    changed[4_500_000] = 0x7f; // NaN
    const one = (data: Buffer) => [tensor('w', 'F8_E4M3', [count], data)];
    const [zeroshot, finetuned] = [
      writeModel(join(root, 'x'), one(bytes)),
      writeModel(join(root, 'y'), one(changed)),
    ];
    const { tensors } = await diff(zeroshot, finetuned, { memory: smallest });
    expect(tensors[0]).toMatchObject({
      maxAbs: 1,
      nan: [0, 1],
      unchanged: (count - at.length - 1) / count,
      relativeL2: Math.sqrt(at.length / (count - 1)),
    });
    const early = Buffer.from(changed);
    early[7] = 0x7f;
    const broken = writeModel(join(root, 'z'), one(early));
    const { outputs } = await merge({
      zeroshot,
      finetuned: broken,
      alpha: 1,
      out: join(root, 'out'),
      memory: smallest,
    });
    expect(outputs[0]!.nonFinite).toEqual({ w: 2 });
  });
});

describe('many small shards', () => {
  it('are written with a few files open at a time, however slow a file is to finish', async () => {
    const root = await tempDir();
    const shards = (seed: number) =>
      Array.from({ length: 150 }, (_, i) => [tensor(`t${i}`, 'F32', [10 + i], randomF32(10 + i, seed + i))]);
    const [zeroshot, finetuned] = [
      writeShards(join(root, 'x'), shards(1)),
      writeShards(join(root, 'y'), shards(999)),
    ];
    const finish = OutputWriter.prototype.finish;
    let [created, finished, most] = [0, 0, 0];
    const create = OutputWriter.create;
    vi.spyOn(OutputWriter, 'create').mockImplementation((...args) => {
      most = Math.max(most, ++created - finished);
      return create.apply(OutputWriter, args);
    });
    vi.spyOn(OutputWriter.prototype, 'finish').mockImplementation(async function (this: OutputWriter, hash) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      finished++;
      return finish.call(this, hash);
    });
    onTestFinished(() => void vi.restoreAllMocks());
    const out = join(root, 'out');
    await merge({ zeroshot, finetuned, alpha: 0.3, out });
    expect(created).toBe(150);
    expect(most).toBeLessThan(8);
    expect(contents(readModel(out))).toEqual(oracle(shards(1).flat(), shards(999).flat(), 0.3));
  });
});

describe('inputs whose data lies at odd offsets', () => {
  /** A U8 tensor of odd length pushes every later tensor off its natural alignment. */
  const odd = (seed: number): Tensor[] => [
    tensor('mask', 'U8', [3], Buffer.from([1, 2, 3])),
    tensor('w', 'F32', [70_001], randomF32(70_001, seed)),
    tensor('flag', 'BOOL', [1], Buffer.from([1])),
    tensor('v', 'BF16', [301], randomBf16(301, seed + 1)),
    tensor('z', 'F32', [60_000], randomF32(60_000, seed + 2)),
  ];

  it.each(['direct', 'cached'] as const)('merge exactly, read %s', async (readMode) => {
    const root = await tempDir();
    // pad 1: the header's length is what it is, so that the data starts anywhere.
    const zeroshot = writeModel(join(root, 'x'), odd(1), { pad: 1 });
    const finetuned = writeModel(join(root, 'y'), odd(77), { pad: 1, metadata: { format: 'pt', odd: 'x' } });
    const out = join(root, 'out');
    const { warnings } = await merge({ zeroshot, finetuned, alpha: 0.3, out, readMode, memory: 4 * 2 ** 20 });
    expect(contents(readModel(out))).toEqual(oracle(odd(1), odd(77), 0.3));
    expect(warnings.join()).toMatch(/not aligned to their element size/);
  });

  it('merge exactly where only the fine-tuned model is odd', async () => {
    const root = await tempDir();
    const even = (seed: number) => odd(seed).filter(({ dtype }) => dtype !== 'U8' && dtype !== 'BOOL');
    const zeroshot = writeModel(join(root, 'x'), even(1));
    const finetuned = writeModel(join(root, 'y'), even(77), { pad: 1, metadata: { a: 'b' } });
    const out = join(root, 'out');
    await merge({ zeroshot, finetuned, alpha: 0.3, out, readMode: 'direct' });
    expect(contents(readModel(out))).toEqual(oracle(even(1), even(77), 0.3));
  });
});

describe('memory', () => {
  const model = [tensor('w', 'F32', [1000], randomF32(1000, 1))];

  it.each([4, 8, 64, 200].map((mib) => mib * 2 ** 20))(
    'of the buffers stays within a budget of %d bytes',
    async (memory) => {
      const root = await tempDir();
      const [zeroshot, finetuned] = [writeModel(join(root, 'x'), model), writeModel(join(root, 'y'), model)];
      for (const alpha of [0.5, [0.1, 0.2, 0.3]]) {
        const plan = await planMerge({ zeroshot, finetuned, alpha, out: join(root, 'out'), memory });
        expect(plan.memory.bytes).toBeLessThanOrEqual(memory);
        if (memory < 2 ** 25) expect(plan.memory.bytes).toBeGreaterThan(memory / 3);
      }
    },
  );

  it('too small for the alphas of one pass is refused before anything is written', async () => {
    const root = await tempDir();
    const [zeroshot, finetuned] = [writeModel(join(root, 'x'), model), writeModel(join(root, 'y'), model)];
    const alpha = Array.from({ length: 50 }, (_, i) => i / 49);
    await expect(
      merge({ zeroshot, finetuned, alpha, out: join(root, 'out'), memory: 4 * 2 ** 20 }),
    ).rejects.toMatchObject({ code: 'ERR_MEMORY' });
    const { outputs } = await merge({ zeroshot, finetuned, alpha, out: join(root, 'out') });
    expect(outputs).toHaveLength(50);
  });
});

describe('a tmpfs', () => {
  it('takes an output, although it may lack direct I/O', async ({ skip }) => {
    const root = await tempDir('/dev/shm').catch(() => undefined);
    if (root === undefined) return skip('no /dev/shm');
    const source = await tempDir();
    const zeroshot = writeModel(join(source, 'x'), mixedModel(1));
    mkdirSync(join(root, 'y'));
    const finetuned = join(root, 'y', 'model.safetensors');
    copyFileSync(join(writeModel(join(source, 'y'), mixedModel(9)), 'model.safetensors'), finetuned);
    const out = join(root, 'out');
    await merge({ zeroshot, finetuned, alpha: 0.3, out, readMode: 'direct' });
    await merge({ zeroshot, finetuned, alpha: 0.3, out: join(source, 'out'), readMode: 'cached' });
    expect(contents(readModel(out))).toEqual(contents(readModel(join(source, 'out'))));
  });
});
