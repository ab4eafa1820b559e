// Masks of DARE and DELLA: from a counter, so that they can be computed again here, and random enough.
import { describe, expect, it } from 'vitest';
import { drawsOf, happens, philox, tensorKey } from '../../support/merge-oracles/philox.js';
import { normal } from '../../support/merge-zoo.js';
import { numbers } from '../../support/number-merge.js';
import { merge, type SmallMerge } from '../../support/small-merge.js';

const count = 70_001;
const base = numbers('F32', [count], normal(count, 1, 0.05));
const model = numbers(
  'F32',
  [count],
  normal(count, 2, 0.02).map((change, e) => base.values[e]! + (change || 0.01)),
);
const keptIn = (w: ArrayLike<number>): Uint8Array =>
  Uint8Array.from(base.values, (b, e) => Number(w[e] !== b));
const sizeOf = (w: ArrayLike<number>): number =>
  base.values.reduce((sum, b, e) => sum + Math.abs(w[e]! - b), 0);
const dare = (density: number, seed = 0, parameters: SmallMerge['parameters'] = {}) =>
  merge({
    method: 'dare_linear',
    base,
    models: [model],
    own: [{ weight: 1, density }],
    parameters,
    options: { seed },
  });

describe('Philox4x32-10', () => {
  // Known answers of the authors' library.
  it.each([
    ['00000000 00000000 00000000 00000000', '00000000 00000000', '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
    ['ffffffff ffffffff ffffffff ffffffff', 'ffffffff ffffffff', '408f276d 41c83b0e a20bc7c6 6d5451fd'],
    ['243f6a88 85a308d3 13198a2e 03707344', 'a4093822 299f31d0', 'd16cfe09 94fdcceb 5001e420 24126ea1'],
  ])('%s by %s', (counter, key, result) => {
    const words = (text: string) => text.split(' ').map((word) => Number.parseInt(word, 16));
    expect(philox(words(counter), words(key))).toEqual(words(result));
  });
});

describe('dare', () => {
  it.each([0.1, 0.5, 0.9])('keeps with probability %d, by seed, name, model and index', async (density) => {
    const { w } = await dare(density, 3);
    const draw = drawsOf(tensorKey(3, 'w'), 0);
    const expected = Uint8Array.from({ length: count }, (_, e) => Number(happens(draw(e), density)));
    const kept = keptIn(w);
    expect(kept).toEqual(expected);
    const share = kept.reduce((a, b) => a + b) / count;
    expect(Math.abs(share - density)).toBeLessThan(5 * Math.sqrt((density * (1 - density)) / count));
  });

  it('quirk: rescaling restores the L1 norm, not the scale 1 / density', async () => {
    const before = sizeOf(model.values);
    const scales = [];
    for (const density of [0.1, 0.5]) {
      const { w } = await dare(density, 4);
      expect(Math.abs(sizeOf(w) / before - 1)).toBeLessThan(1e-4);
      const one = w.findIndex((value, e) => Math.abs(value - base.values[e]!) > 0.05);
      scales.push((w[one]! - base.values[one]!) / (model.values[one]! - base.values[one]!));
    }
    // Near it, and not it.
    expect(scales[0]).toBeCloseTo(10, 0);
    expect(Math.abs(scales[0]! - 10)).toBeGreaterThan(1e-3);
    expect(scales[1]).toBeCloseTo(2, 1);
    expect(Math.abs(scales[1]! - 2)).toBeGreaterThan(1e-4);
    const { w } = await dare(0.1, 4, { rescale: false });
    expect(Math.abs(sizeOf(w) / before - 0.1)).toBeLessThan(0.01);
  });

  it('masks of seeds, models and tensors have nothing to do with each other', async () => {
    const run = (seed: number) =>
      merge({
        method: 'dare_linear',
        base: { w: base, v: base },
        models: [
          { w: model, v: model },
          { w: model, v: model },
        ],
        own: [
          { weight: 1, density: 0.5 },
          { weight: 10, density: 0.5 },
        ],
        parameters: { rescale: false },
        options: { seed },
      });
    const masks = [];
    for (const seed of [5, 6]) {
      const { values } = await run(seed);
      for (const name of ['w', 'v']) {
        const times = Array.from(values[name]!, (value, e) =>
          Math.round((value - base.values[e]!) / (model.values[e]! - base.values[e]!)),
        );
        masks.push(
          times.map((t) => t % 10),
          times.map((t) => Math.floor(t / 10)),
        );
      }
    }
    expect(masks).toHaveLength(8);
    for (const [i, one] of masks.entries()) {
      expect(new Set(one)).toEqual(new Set([0, 1]));
      for (const other of masks.slice(0, i)) {
        const same = one.filter((bit, e) => bit === other[e]).length / count;
        expect(Math.abs(same - 0.5)).toBeLessThan(5 * Math.sqrt(0.25 / count));
      }
    }
  });

  it('neighbours of a mask have nothing to do with each other', async () => {
    const kept = keptIn((await dare(0.5, 8)).w);
    for (const lag of [1, 2, 3, 4, 5, 16, 64, 4096, 65_536]) {
      const n = count - lag;
      const same = kept.subarray(lag).filter((bit, e) => bit === kept[e]).length / n;
      expect(Math.abs(same - 0.5), `lag ${lag}`).toBeLessThan(5 * Math.sqrt(0.25 / n));
    }
  });

  it('a mask does not change with the other tensors of the model', async () => {
    const alone = await dare(0.5, 9);
    const more = await merge({
      method: 'dare_linear',
      base: { a: base, w: base, z: base },
      models: [{ a: model, w: model, z: model }],
      own: [{ weight: 1, density: 0.5 }],
      options: { seed: 9, threads: 2 },
    });
    expect(more.tensors.w!.data.equals(alone.tensors.w!.data)).toBe(true);
    expect(more.tensors.a!.data.equals(alone.tensors.w!.data)).toBe(false);
  });

  it('the mean of many draws is the change', async () => {
    const few = 200;
    const short = numbers('F32', [few], base.values.subarray(0, few));
    const changed = numbers('F32', [few], model.values.subarray(0, few));
    const draws = 200;
    const names = Array.from({ length: draws }, (_, i) => `t${i}`);
    const { values } = await merge({
      method: 'dare_linear',
      base: Object.fromEntries(names.map((name) => [name, short])),
      models: [Object.fromEntries(names.map((name) => [name, changed]))],
      own: [{ weight: 1, density: 0.5 }],
    });
    const sum = (of: (e: number, name: string) => number) =>
      names.reduce((all, name) => all + short.values.reduce((s, _, e) => s + of(e, name), 0), 0) / draws;
    const size = sum((e, name) => Math.abs(values[name]![e]! - short.values[e]!));
    const expected = short.values.reduce((s, b, e) => s + Math.abs(changed.values[e]! - b), 0);
    expect(Math.abs(size / expected - 1)).toBeLessThan(0.01);
  });
});

describe('della', () => {
  it('keeps the share that it should, more of what is large', async () => {
    const { w } = await merge({
      method: 'della_linear',
      base,
      models: [model],
      own: [{ weight: 1, density: 0.4, epsilon: 0.3 }],
      parameters: { rescale: false },
    });
    const kept = keptIn(w);
    const share = kept.reduce((a, b) => a + b) / count;
    expect(Math.abs(share - 0.4)).toBeLessThan(5 * Math.sqrt(0.24 / count));
    const [small, large] = [0, 1].map((upper) => {
      const those = [...kept.keys()].filter(
        (e) => Number(Math.abs(model.values[e]! - base.values[e]!) > 0.02 * 0.6745) === upper,
      );
      return those.reduce((sum, e) => sum + kept[e]!, 0) / those.length;
    });
    // Halves by the median of a normal distribution: means of 0.1 .. 0.4 and 0.4 .. 0.7.
    expect(Math.abs(small! - 0.25)).toBeLessThan(0.02);
    expect(Math.abs(large! - 0.55)).toBeLessThan(0.02);
  });

  it('rescales to the L1 norm', async () => {
    const { w } = await merge({
      method: 'della_linear',
      base,
      models: [model],
      own: [{ weight: 1, density: 0.4 }],
    });
    expect(Math.abs(sizeOf(w) / sizeOf(model.values) - 1)).toBeLessThan(1e-4);
  });
});
