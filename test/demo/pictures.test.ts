// The drawn data: the same for a seed, in range, and classes that can be told apart.
import { describe, expect, it } from 'vitest';
import { type Distribution, distributions } from '../../lib/demo/distributions.js';
import { glyphDistance, leastDistance, makeGlyphs } from '../../lib/demo/glyphs.js';
import { drawPictures, evaluationSet, splitInHalf, trainingSet } from '../../lib/demo/pictures.js';
import { drawPicture, pixels, side } from '../../lib/demo/renderer.js';
import { Random } from '../../lib/statistics/random.js';

const glyphs = makeGlyphs(16);
const all = Object.entries({ broad: distributions.broad, id: distributions.id, ...distributions.shifts });

/** Everything that varies held still: strokes of 1 on 0. */
const still: Distribution = {
  ...{ rotation: 0, scale: [1, 1], shift: 0, shear: 0, thickness: [0.1, 0.1], softness: [0.05, 0.05] },
  ...{ contrast: [1, 1], negative: 0, background: [0, 0], noise: [0, 0], occluder: 0, offset: 0, jitter: 0 },
};

function draw(distribution: Distribution, glyph = glyphs[0]!, seed = 1): Float32Array {
  const picture = new Float32Array(pixels);
  drawPicture(glyph, distribution, new Random(seed), picture);
  return picture;
}

const mean = (values: ArrayLike<number>) => Array.from(values).reduce((a, b) => a + b) / values.length;

describe('glyphs', () => {
  it('lie apart, drawn in either direction', () => {
    for (const [i, a] of glyphs.entries()) {
      const reversed = Float64Array.from(a, (_, at) => a[8 - 2 * Math.floor(at / 2) + (at % 2)]!);
      expect(glyphDistance(a, reversed)).toBeCloseTo(0, 12);
      for (const b of glyphs.slice(i + 1)) expect(glyphDistance(a, b)).toBeGreaterThanOrEqual(leastDistance);
    }
  });

  it('are the same each time, and the first of more', () => {
    expect(makeGlyphs(16)).toEqual(glyphs);
    expect(makeGlyphs(20).slice(0, 16)).toEqual(glyphs);
  });
});

describe('a picture', () => {
  it('is the stroke by its distance to the polyline', () => {
    // A path along the x axis and back: grey values follow from |y| alone where the path runs.
    const path = Float64Array.of(-0.9, 0, 0.9, 0, -0.9, 0, 0.9, 0, 0, 0);
    const picture = draw(still, path);
    for (let row = 0; row < side; row++) {
      const distance = Math.abs((2 * row + 1) / side - 1);
      const expected = Math.min(1, Math.max(0, (0.1 + 0.05 - distance) / 0.1));
      for (let column = 2; column < side - 2; column++) {
        expect(picture[row * side + column]).toBeCloseTo(expected, 6);
      }
    }
  });

  it('follows each quantity of its distribution', () => {
    const plain = draw(still);
    const ink = plain.reduce((a, b) => a + b);
    expect(ink).toBeGreaterThan(5);
    const dark = draw({ ...still, negative: 1 });
    for (let i = 0; i < pixels; i++) expect(dark[i]).toBeCloseTo(-plain[i]!, 6);
    expect(draw({ ...still, contrast: [0.5, 0.5] }).reduce((a, b) => a + b)).toBeCloseTo(ink / 2, 3);
    expect(draw({ ...still, thickness: [0.05, 0.05] }).reduce((a, b) => a + b)).toBeLessThan(0.8 * ink);
    expect(draw({ ...still, scale: [0.5, 0.5] }).reduce((a, b) => a + b)).toBeLessThan(0.8 * ink);
    for (const change of [
      { rotation: 90 },
      { shift: 0.5 },
      { shear: 0.5 },
      { jitter: 0.3 },
      { offset: 0.5 },
    ]) {
      expect(draw({ ...still, ...change }), JSON.stringify(change)).not.toEqual(plain);
    }
    const faint = { ...still, contrast: [0, 0] } as const;
    expect(new Set(draw(faint))).toEqual(new Set([0]));
    const noisy = Array.from({ length: 50 }, (_, s) => [
      ...draw({ ...faint, noise: [0.1, 0.1] }, glyphs[0], s),
    ]).flat();
    expect(mean(noisy)).toBeCloseTo(0, 2);
    expect(Math.sqrt(mean(noisy.map((value) => value ** 2)))).toBeCloseTo(0.1, 2);
    const wave = draw({ ...faint, background: [0.4, 0.4] });
    expect(Math.max(...wave)).toBeGreaterThan(0.3);
    expect(Math.max(...wave.map(Math.abs))).toBeLessThanOrEqual(0.4 + 1e-6);
    const occluded = draw({ ...faint, occluder: 1 });
    const covered = occluded.filter((value) => value !== 0).length;
    expect(covered).toBeGreaterThanOrEqual(16);
    expect(covered).toBeLessThanOrEqual(64);
  });
});

describe('sets of pictures', () => {
  it.each(all)(
    '%s: grey values in [-1, 1], every class, and more than one value',
    async (_, distribution) => {
      const { features, labels } = await drawPictures(glyphs, distribution, 600, { seed: 3, set: 1 });
      expect(features.every((value) => value >= -1 && value <= 1)).toBe(true);
      expect(new Set(labels).size).toBe(glyphs.length);
      for (let i = 0; i < 600; i += 37) {
        expect(new Set(features.subarray(i * pixels, (i + 1) * pixels)).size).toBeGreaterThan(20);
      }
    },
  );

  it('depend on seed, set and place alone', async () => {
    const options = { seed: 5, set: 2, labelNoise: 0.5 };
    const one = await drawPictures(glyphs, distributions.broad, 700, options);
    expect(await drawPictures(glyphs, distributions.broad, 700, options)).toEqual(one);
    const fewer = await drawPictures(glyphs, distributions.broad, 50, options);
    expect(fewer.features).toEqual(one.features.slice(0, 50 * pixels));
    expect(fewer.labels).toEqual(one.labels.slice(0, 50));
    for (const other of [{ seed: 6 }, { set: 3 }]) {
      const { features } = await drawPictures(glyphs, distributions.broad, 50, { ...options, ...other });
      expect(features).not.toEqual(fewer.features);
    }
  });

  it('have as many wrong labels as was asked for', async () => {
    const options = { seed: 5, set: 2 };
    const clean = await drawPictures(glyphs, distributions.id, 2000, options);
    const noisy = await drawPictures(glyphs, distributions.id, 2000, { ...options, labelNoise: 0.5 });
    expect(noisy.features).toEqual(clean.features);
    const changed = noisy.labels.filter((label, i) => label !== clean.labels[i]).length / 2000;
    // Half are replaced, and one in 16 of them by itself.
    expect(Math.abs(changed - 0.5 * (15 / 16))).toBeLessThan(0.03);
  });

  it('split into halves that share no picture', async () => {
    const pictures = await drawPictures(glyphs, distributions.id, 301, { seed: 1, set: 3 });
    const halves = splitInHalf(pictures, 1, 3);
    expect(halves.map(({ labels }) => labels.length)).toEqual([150, 151]);
    const keys = ({ features, labels }: (typeof halves)[0]) =>
      Array.from(labels, (label, i) => `${label} ${features.subarray(i * pixels, (i + 1) * pixels)}`);
    expect(halves.flatMap(keys).sort()).toEqual(keys(pictures).sort());
    expect(splitInHalf(pictures, 1, 3)).toEqual(halves);
    expect(splitInHalf(pictures, 2, 3)).not.toEqual(halves);
  });

  it('are read by rows, over copies', async () => {
    const pictures = await drawPictures(glyphs, distributions.id, 10, { seed: 1, set: 3 });
    const set = trainingSet(pictures, { copies: 3 });
    expect(set.samples).toBe(30);
    expect([...set.labels]).toEqual([...pictures.labels, ...pictures.labels, ...pictures.labels]);
    const rows = new Float32Array(15 * pixels);
    await set.readFeatures(8, 15, new Uint8Array(rows.buffer));
    for (let i = 0; i < 15; i++) {
      const from = ((8 + i) % 10) * pixels;
      expect(rows.slice(i * pixels, (i + 1) * pixels)).toEqual(pictures.features.slice(from, from + pixels));
    }
    const [a, b] = ['a', 'b'].map((name) => evaluationSet(name, 'select', 'id', pictures));
    expect(a!.fingerprint).toBe(b!.fingerprint);
    pictures.labels[3]! ^= 1;
    expect(evaluationSet('a', 'select', 'id', pictures).fingerprint).not.toBe(a!.fingerprint);
  });

  it('stop being drawn when they are not wanted', async () => {
    const reason = new Error('enough');
    const options = { seed: 1, set: 1, signal: AbortSignal.abort(reason) };
    await expect(drawPictures(glyphs, distributions.id, 10, options)).rejects.toBe(reason);
  });
});
