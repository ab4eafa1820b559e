/**
 * Resampling of 8-bit RGB images as Pillow's `Image.resize` does it, to the last bit: a separable filter whose
 * support grows with the scale (antialiasing), weights rounded to 22 fractional bits, the horizontal pass first
 * and rounded to 8 bits in between. Encoders were trained on what this gives; other libraries' filters of the
 * same name differ by some grey levels.
 */

/** The filters of Pillow that image processors name. `bicubic` is Keys' with a = -0.5, `lanczos` has 3 lobes. */
export type Resample = 'nearest' | 'bilinear' | 'bicubic' | 'lanczos';

/** An image in memory: rows of RGB, 3 bytes per pixel. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint8Array;
}

/** A rectangle of an image, in pixels. */
export interface Window {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

const channels = 3;
const fractionBits = 22;

interface Filter {
  /** Half its width at scale 1. */
  readonly support: number;
  weight(x: number): number;
}

const filters: Readonly<Record<Exclude<Resample, 'nearest'>, Filter>> = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, weight: keysCubic },
  lanczos: { support: 3, weight: (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/** R. Keys, Cubic convolution interpolation for digital image processing, 1981, with a = -0.5. */
function keysCubic(x: number): number {
  const a = -0.5;
  const t = Math.abs(x);
  if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  return t < 2 ? (((t - 5) * t + 8) * t - 4) * a : 0;
}

function sinc(x: number): number {
  const t = x * Math.PI;
  return t === 0 ? 1 : Math.sin(t) / t;
}

/** The weights of one pass, for outputs `first` to `first + count`. */
interface Pass {
  /** The first input of each output, and how many. */
  readonly begins: Int32Array;
  readonly counts: Int32Array;
  /** `stride` per output; fixed point. */
  readonly weights: Int32Array;
  readonly stride: number;
}

/**
 * The part `window` of `image` resized to `width` x `height`. Only what the window needs is computed; the bytes
 * are those of resizing the whole and cutting.
 */
export function resize(
  image: RgbImage,
  width: number,
  height: number,
  window: Window,
  filter: Resample,
): Uint8Array {
  if (filter === 'nearest') return pickNearest(image, width, height, window);
  const vertical = passOf(image.height, height, window.top, window.height, filters[filter]);
  const horizontal = passOf(image.width, width, window.left, window.width, filters[filter]);
  // Input rows that the second pass reads.
  const top = vertical.begins[0]!;
  const last = window.height - 1;
  const rows = vertical.begins[last]! + vertical.counts[last]! - top;
  const between = alongRows(image, top, rows, horizontal, window.width);
  return alongColumns(between, top, vertical, window.width, window.height);
}

function passOf(
  inputs: number,
  outputs: number,
  first: number,
  count: number,
  { support: reach, weight }: Filter,
): Pass {
  const scale = inputs / outputs;
  const filterScale = Math.max(scale, 1);
  const support = reach * filterScale;
  const stride = Math.ceil(support) * 2 + 1;
  const begins = new Int32Array(count);
  const counts = new Int32Array(count);
  const weights = new Int32Array(count * stride);
  const exact = new Float64Array(stride);
  for (let i = 0; i < count; i++) {
    if (inputs === outputs) {
      // Pillow skips a pass that changes no size; a weight of one is the same.
      begins[i] = first + i;
      counts[i] = 1;
      weights[i * stride] = 2 ** fractionBits;
      continue;
    }
    const centre = (first + i + 0.5) * scale;
    const begin = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(inputs, Math.trunc(centre + support + 0.5));
    let sum = 0;
    for (let j = begin; j < end; j++) {
      const w = weight((j - centre + 0.5) * (1 / filterScale));
      exact[j - begin] = w;
      sum += w;
    }
    for (let j = 0; j < end - begin; j++) {
      const fixed = (sum === 0 ? exact[j]! : exact[j]! / sum) * 2 ** fractionBits;
      weights[i * stride + j] = Math.trunc(fixed + (fixed < 0 ? -0.5 : 0.5));
    }
    begins[i] = begin;
    counts[i] = end - begin;
  }
  return { begins, counts, weights, stride };
}

const half = 2 ** (fractionBits - 1);

/** [rows, width, 3] from the input rows at `top`. */
function alongRows(
  { width: inputWidth, pixels }: RgbImage,
  top: number,
  rows: number,
  { begins, counts, weights, stride }: Pass,
  width: number,
): Uint8ClampedArray {
  const out = new Uint8ClampedArray(rows * width * channels);
  let to = 0;
  for (let row = 0; row < rows; row++) {
    const line = (top + row) * inputWidth * channels;
    for (let i = 0; i < width; i++) {
      let from = line + begins[i]! * channels;
      let r = half;
      let g = half;
      let b = half;
      const end = i * stride + counts[i]!;
      for (let k = i * stride; k < end; k++) {
        const w = weights[k]!;
        r = (r + Math.imul(pixels[from]!, w)) | 0;
        g = (g + Math.imul(pixels[from + 1]!, w)) | 0;
        b = (b + Math.imul(pixels[from + 2]!, w)) | 0;
        from += channels;
      }
      out[to] = r >> fractionBits;
      out[to + 1] = g >> fractionBits;
      out[to + 2] = b >> fractionBits;
      to += channels;
    }
  }
  return out;
}

/** [height, width, 3] from rows of which the first is input row `top`. */
function alongColumns(
  rows: Uint8ClampedArray,
  top: number,
  { begins, counts, weights, stride }: Pass,
  width: number,
  height: number,
): Uint8Array {
  const line = width * channels;
  const out = new Uint8ClampedArray(height * line);
  let to = 0;
  for (let y = 0; y < height; y++) {
    const column = (begins[y]! - top) * line;
    const end = y * stride + counts[y]!;
    for (let x = 0; x < line; x++) {
      let from = column + x;
      let sum = half;
      for (let k = y * stride; k < end; k++) {
        sum = (sum + Math.imul(rows[from]!, weights[k]!)) | 0;
        from += line;
      }
      out[to++] = sum >> fractionBits;
    }
  }
  return new Uint8Array(out.buffer);
}

function pickNearest(image: RgbImage, width: number, height: number, window: Window): Uint8Array {
  const columns = nearest(image.width, width, window.left, window.width);
  const rows = nearest(image.height, height, window.top, window.height);
  const out = new Uint8Array(window.width * window.height * channels);
  let to = 0;
  for (const row of rows) {
    for (const column of columns) {
      const from = (row * image.width + column) * channels;
      for (let c = 0; c < channels; c++) out[to++] = image.pixels[from + c]!;
    }
  }
  return out;
}

function nearest(inputs: number, outputs: number, first: number, count: number): Int32Array {
  const scale = inputs / outputs;
  const picked = new Int32Array(count);
  // Pillow adds the scale again and again; its sums round as these do.
  let at = scale * 0.5;
  for (let i = 0; i < first + count; i++) {
    if (i >= first) picked[i - first] = Math.min(inputs - 1, Math.trunc(at));
    at += scale;
  }
  return picked;
}
