// Pixels: decoding, resampling and normalising against what Pillow and NumPy gave (test/fixtures/images/make.py), and
// resampling against the published filters in float64.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { decodeRgb } from '../../../lib/eval/images/decode.js';
import { cropOffset, preprocessor, resizedSize } from '../../../lib/eval/images/preprocess.js';
import { type Resample, type RgbImage, resize } from '../../../lib/eval/images/resample.js';
import type { ImageTransform } from '../../../lib/eval/images/transform.js';

const fixtures = new URL('../../fixtures/images/', import.meta.url);
const fixture = (name: string): Buffer => readFileSync(new URL(name, fixtures));
const expected = JSON.parse(fixture('expected.json').toString()) as {
  decoded: Record<string, string>;
  resized: Record<string, string>;
  clip48: string;
};
const sha256 = (array: Uint8Array | Float32Array): string =>
  createHash('sha256')
    .update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
    .digest('hex');

const clip: ImageTransform = {
  resize: { to: 'shortest', size: 48 },
  resample: 'bicubic',
  crop: { width: 48, height: 48, rounding: 'floor' },
  rescale: 1 / 255,
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
};
/** Gives grey levels. */
const plain = { resample: 'bicubic', rescale: 1, mean: [0, 0, 0], std: [1, 1, 1] } as const;

describe('decoding gives the bytes of Pillow', () => {
  it.each(Object.entries(expected.decoded))('%s', async (name, digest) => {
    const { pixels, width, height } = await decodeRgb(fixture(name));
    expect([width, height]).toEqual([93, 71]);
    expect(sha256(pixels)).toBe(digest);
  });
});

describe('decoding', () => {
  const raw = (values: number[], channels: 1 | 2 | 3 | 4) =>
    sharp(Uint8Array.from(values), { raw: { width: values.length / channels, height: 1, channels } });

  it('takes the high byte of 16 bits', async () => {
    const input = Uint16Array.of(0, 255, 256, 0x12ff, 0xfeff, 0xff00, 1000, 40000, 65535);
    const colour = await sharp(input, { raw: { width: 3, height: 1, channels: 3 } })
      .toColourspace('rgb16')
      .png()
      .toBuffer();
    expect((await sharp(colour).metadata()).depth).toBe('ushort');
    expect([...(await decodeRgb(colour)).pixels]).toEqual([...input].map((value) => value >> 8));
    const grey = await sharp(input, { raw: { width: 9, height: 1, channels: 1 } })
      .toColourspace('grey16')
      .png()
      .toBuffer();
    expect((await sharp(grey).metadata()).depth).toBe('ushort');
    expect([...(await decodeRgb(grey)).pixels]).toEqual(
      [...input].flatMap((value) => [value >> 8, value >> 8, value >> 8]),
    );
  });

  it('ignores colour profiles', async () => {
    const values = [10, 200, 30, 250, 128, 7];
    const profiled = await raw(values, 3).withIccProfile('p3', { attach: true }).png().toBuffer();
    expect((await sharp(profiled).metadata()).icc).toBeDefined();
    const stored = await sharp(profiled, { ignoreIcc: true }).raw().toBuffer();
    expect((await decodeRgb(profiled)).pixels).toEqual(stored);
  });

  it('goes by the content and takes no drawings', async () => {
    const png = await raw([1, 2, 3], 3).png().toBuffer();
    expect([...(await decodeRgb(png)).pixels]).toEqual([1, 2, 3]);
    const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>');
    await expect(decodeRgb(svg)).rejects.toThrow('svg');
  });

  it.each(['colour.jpg', 'alpha.png', 'lossy.webp', 'palette.gif', 'colour.tif'])(
    'refuses half of %s',
    async (name) => {
      const whole = fixture(name);
      await expect(decodeRgb(whole.subarray(0, whole.length >> 1))).rejects.toThrow(/./);
      await expect(decodeRgb(whole.subarray(0, 5))).rejects.toThrow(/./);
    },
  );
});

describe('resizing gives the bytes of Pillow', () => {
  it.each(Object.entries(expected.resized))('%s', async (what, digest) => {
    const [, filter, width, height] = /^(\w+) (\d+)x(\d+)$/.exec(what)!;
    const image = await decodeRgb(fixture('colour.jpg'));
    const whole = { left: 0, top: 0, width: Number(width), height: Number(height) };
    expect(sha256(resize(image, whole.width, whole.height, whole, filter as Resample))).toBe(digest);
  });
});

it('the transform of CLIP gives the bits of NumPy', async () => {
  const into = new Float32Array(3 * 48 * 48);
  preprocessor(clip).run(await decodeRgb(fixture('colour.jpg')), into);
  expect(sha256(into)).toBe(expected.clip48);
});

/** The filters as they are published: Keys 1981 (a = -1/2), Lanczos with three lobes, the triangle. */
const kernels: Record<string, { radius: number; at: (x: number) => number }> = {
  bilinear: { radius: 1, at: (x) => (Math.abs(x) < 1 ? 1 - Math.abs(x) : 0) },
  bicubic: {
    radius: 2,
    at: (x) => {
      const t = Math.abs(x);
      if (t < 1) return 1.5 * t ** 3 - 2.5 * t ** 2 + 1;
      return t < 2 ? -0.5 * t ** 3 + 2.5 * t ** 2 - 4 * t + 2 : 0;
    },
  },
  lanczos: {
    radius: 3,
    at: (x) => {
      if (x === 0) return 1;
      return Math.abs(x) < 3
        ? (3 * Math.sin(Math.PI * x) * Math.sin((Math.PI * x) / 3)) / (Math.PI * x) ** 2
        : 0;
    },
  },
};

/** One axis: `values` resized to `count`, weights in f64 over the pixels whose centres the filter reaches. */
function resample(
  values: number[],
  count: number,
  { radius, at }: { radius: number; at: (x: number) => number },
) {
  const scale = values.length / count;
  const stretch = Math.max(1, scale);
  return Array.from({ length: count }, (_, i) => {
    const centre = (i + 0.5) * scale - 0.5;
    let [sum, total] = [0, 0];
    for (const [j, value] of values.entries()) {
      if (Math.abs(j - centre) > radius * stretch) continue;
      const weight = at((j - centre) / stretch);
      sum += weight * value;
      total += weight;
    }
    return Math.min(255, Math.max(0, Math.round(sum / total)));
  });
}

function oracle(
  { width, height, pixels }: RgbImage,
  to: { width: number; height: number },
  filter: Resample,
) {
  const kernel = kernels[filter]!;
  const out = new Uint8Array(3 * to.width * to.height);
  for (let c = 0; c < 3; c++) {
    const rows = Array.from({ length: height }, (_, y) =>
      resample(
        Array.from({ length: width }, (_, x) => pixels[3 * (y * width + x) + c]!),
        to.width,
        kernel,
      ),
    );
    for (let x = 0; x < to.width; x++) {
      const column = resample(
        rows.map((row) => row[x]!),
        to.height,
        kernel,
      );
      for (const [y, value] of column.entries()) out[3 * (y * to.width + x) + c] = value;
    }
  }
  return out;
}

const side = fc.integer({ min: 1, max: 40 });
const images = fc.record({ width: side, height: side }).chain(({ width, height }) =>
  fc.record({
    width: fc.constant(width),
    height: fc.constant(height),
    pixels: fc.uint8Array({ minLength: 3 * width * height, maxLength: 3 * width * height }),
  }),
);

describe('resizing', () => {
  it('is the filter in float64, rounded after each pass, but where that is a tie', () => {
    fc.assert(
      fc.property(
        images,
        fc.record({ width: side, height: side }),
        fc.constantFrom<Resample>('bilinear', 'bicubic', 'lanczos'),
        (image, to, filter) => {
          const got = resize(image, to.width, to.height, { left: 0, top: 0, ...to }, filter);
          const want = oracle(image, to, filter);
          // A tie that falls the other way in the first pass moves the second by at most the filter's gain.
          for (const [i, value] of got.entries()) expect(Math.abs(value - want[i]!)).toBeLessThanOrEqual(2);
        },
      ),
      { numRuns: 150 },
    );
  });

  it.each(['bilinear', 'bicubic', 'lanczos'] as const)('%s of noise, which has few ties', (filter) => {
    const random = fc.sample(fc.uint8Array({ minLength: 3 * 37 * 29, maxLength: 3 * 37 * 29 }), {
      numRuns: 1,
      seed: 5,
    });
    const image = { width: 37, height: 29, pixels: random[0]! };
    for (const to of [
      { width: 16, height: 12 },
      { width: 61, height: 50 },
    ]) {
      const got = resize(image, to.width, to.height, { left: 0, top: 0, ...to }, filter);
      const want = oracle(image, to, filter);
      const apart = got.filter((value, i) => value !== want[i]).length;
      expect(apart).toBeLessThanOrEqual(got.length / 50);
    }
  });

  it('computes of a window what the whole has there', () => {
    const within = (size: number) =>
      fc
        .tuple(fc.nat(size - 1), fc.nat(size - 1))
        .map(([a, b]) => [Math.min(a, b), Math.abs(a - b) + 1] as const);
    const cases = fc
      .record({ width: side, height: side })
      .chain((to) => fc.tuple(fc.constant(to), within(to.width), within(to.height)));
    const filters = fc.constantFrom<Resample>('nearest', 'bilinear', 'bicubic', 'lanczos');
    fc.assert(
      fc.property(images, cases, filters, (image, [to, [left, width], [top, height]], filter) => {
        const whole = resize(image, to.width, to.height, { left: 0, top: 0, ...to }, filter);
        const part = resize(image, to.width, to.height, { left, top, width, height }, filter);
        for (let y = 0; y < height; y++) {
          const row = 3 * ((top + y) * to.width + left);
          expect(part.subarray(3 * y * width, 3 * (y + 1) * width)).toEqual(
            whole.subarray(row, row + 3 * width),
          );
        }
      }),
    );
  });
});

describe('geometry', () => {
  it('cuts the longer side off to whole pixels', () => {
    const transform: ImageTransform = { ...plain, resize: { to: 'shortest', size: 224 } };
    expect(resizedSize({ width: 500, height: 375 }, transform)).toEqual({ width: 298, height: 224 });
    expect(resizedSize({ width: 333, height: 500 }, transform)).toEqual({ width: 224, height: 336 });
    expect(resizedSize({ width: 7, height: 7 }, transform)).toEqual({ width: 224, height: 224 });
  });

  it('centres as transformers or as torchvision, beyond the edges too', () => {
    const offsets = (rounding: 'floor' | 'half-even'): number[] =>
      [-4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 7].map(
        (over) => cropOffset(10 + over, 10, { width: 10, height: 10, rounding }) + 0,
      );
    // floor(over / 2); and Python's int(round(over / 2)), with padding of (-over) // 2 on the left.
    expect(offsets('floor')).toEqual([-2, -2, -1, -1, 0, 0, 1, 1, 2, 2, 3]);
    expect(offsets('half-even')).toEqual([-2, -1, -1, 0, 0, 0, 1, 2, 2, 2, 4]);
  });

  it('is black beyond the image, then normalised', () => {
    const image = { width: 1, height: 2, pixels: Uint8Array.of(255, 128, 0, 51, 102, 204) };
    const into = new Float32Array(3 * 2 * 3).fill(Number.NaN);
    const crop = { width: 3, height: 2, rounding: 'floor' } as const;
    preprocessor({ ...plain, crop, rescale: 1 / 51, mean: [1, 0, 2], std: [2, 1, 0.5] }).run(image, into);
    const black = [-0.5, 0, -4];
    const values = [
      [(5 - 1) / 2, (1 - 1) / 2],
      [128 / 51, 2],
      [-4, (4 - 2) / 0.5],
    ];
    const planes = [0, 1, 2].flatMap((c) => values[c]!.flatMap((value) => [black[c]!, value, black[c]!]));
    expect([...into]).toEqual(planes.map(Math.fround));
  });
});
