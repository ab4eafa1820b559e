import { type RgbImage, resize } from './resample.js';
import { type CentreCrop, type ImageTransform, type OutputSize, outputSize } from './transform.js';

/** A transform made ready for many images. */
export interface Preprocessor extends OutputSize {
  /** Writes [3, height, width] to `into`, which has so many elements. */
  run(image: RgbImage, into: Float32Array): void;
}

/** Throws ERR_USAGE as {@link outputSize} does. */
export function preprocessor(transform: ImageTransform): Preprocessor {
  const { width, height } = outputSize(transform);
  const tables = normalisedValues(transform);
  return {
    ...{ width, height },
    run: (image, into) => {
      const size = resizedSize(image, transform);
      const left = cropOffset(size.width, width, transform.crop);
      const top = cropOffset(size.height, height, transform.crop);
      const window = { ...part(left, width, size.width), ...asRows(part(top, height, size.height)) };
      const pixels = resize(image, size.width, size.height, window, transform.resample);
      for (let c = 0; c < 3; c++) {
        const table = tables[c]!;
        const plane = into.subarray(c * width * height, (c + 1) * width * height);
        if (window.width < width || window.height < height) plane.fill(table[0]!);
        let from = c;
        for (let y = 0; y < window.height; y++) {
          const to = (window.top - top + y) * width + window.left - left;
          for (let x = 0; x < window.width; x++, from += 3) plane[to + x] = table[pixels[from]!]!;
        }
      }
    },
  };
}

/** The size of an image after resizing. A long side is cut off to whole pixels, never below 1. */
export function resizedSize({ width, height }: OutputSize, { resize }: ImageTransform): OutputSize {
  if (resize === undefined) return { width, height };
  if (resize.to === 'exact') return { width: resize.width, height: resize.height };
  const { size } = resize;
  return width <= height
    ? { width: size, height: Math.floor((size * height) / width) }
    : { width: Math.floor((size * width) / height), height: size };
}

/** Where a crop of `cropped` pixels begins in `size` pixels; negative where it is larger. */
export function cropOffset(size: number, cropped: number, crop: CentreCrop | undefined): number {
  if (!crop) return 0;
  const over = size - cropped;
  if (crop.rounding === 'floor') return Math.floor(over / 2);
  // torchvision pads by whole pixels rounded down, and cuts by half of them rounded to even.
  if (over < 0) return Math.ceil(over / 2);
  return over % 4 === 3 ? (over + 1) / 2 : Math.floor(over / 2);
}

/** What of `length` pixels from `offset` lies within `size` pixels. */
function part(offset: number, length: number, size: number): { left: number; width: number } {
  const left = Math.max(0, offset);
  return { left, width: Math.min(offset + length, size) - left };
}

function asRows({ left, width }: { left: number; width: number }): { top: number; height: number } {
  return { top: left, height: width };
}

/**
 * What each of the 256 values of a channel becomes, [3][256]: rescaled in f64 and rounded to f32, then normalised
 * in f32, as transformers' image processors and torchvision do.
 */
function normalisedValues({ rescale, mean, std }: ImageTransform): Float32Array[] {
  return mean.map((m, c) => {
    const [centre, scale] = [Math.fround(m), Math.fround(std[c]!)];
    return Float32Array.from({ length: 256 }, (_, value) => {
      const rescaled = Math.fround(value * rescale);
      return Math.fround(rescaled - centre) / scale;
    });
  });
}
