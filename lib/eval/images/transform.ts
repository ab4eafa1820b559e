import { type ErrorCode, WisemergeError } from '../../errors.js';
import type { Resample } from './resample.js';

/** What happens to an RGB image before an encoder sees it, in this order: resize, crop, rescale, normalise. */
export interface ImageTransform {
  /**
   * `shortest`: the shorter side becomes `size`, the other one `floor(size * longer / shorter)`. `exact`: both
   * sides are given. Without it images keep their size.
   */
  readonly resize?:
    | { readonly to: 'shortest'; readonly size: number }
    | { readonly to: 'exact'; readonly width: number; readonly height: number };
  readonly resample: Resample;
  /** The centre; what it has beyond the image is black. Needed unless the size is `exact`. */
  readonly crop?: CentreCrop;
  /** Pixels 0 to 255 are multiplied by this: usually 1/255. */
  readonly rescale: number;
  /** Per channel, of the rescaled values: `(x - mean) / std`. */
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

export interface CentreCrop {
  readonly width: number;
  readonly height: number;
  /**
   * Where the centre is when an odd number of pixels is cut: half a pixel up and left (`floor`, transformers), or
   * to the even number of pixels (`half-even`, torchvision, and with it open_clip and timm).
   */
  readonly rounding: 'floor' | 'half-even';
}

/** Of the tensor [3, height, width] that every image becomes. */
export interface OutputSize {
  readonly width: number;
  readonly height: number;
}

const maxSide = 2 ** 14;

/**
 * The size of what a transform gives. Throws ERR_USAGE for a size, mean or std out of range, and where images
 * would keep different sizes, which make no batch.
 */
export function outputSize(transform: ImageTransform): OutputSize {
  const { resize, crop, rescale, mean, std } = transform;
  const exact = resize?.to === 'exact' ? resize : undefined;
  const sides = [resize?.to === 'shortest' ? resize.size : 1, ...[exact, crop].flatMap(sidesOf)];
  if (sides.some((side) => !Number.isInteger(side) || side < 1 || side > maxSide)) {
    throw invalid('ERR_USAGE', `sizes of images are 1 to ${maxSide} pixels, not ${sides.join(', ')}`);
  }
  if (![rescale, ...mean, ...std].every(Number.isFinite) || std.some((value) => value <= 0)) {
    throw invalid('ERR_USAGE', 'rescale, mean and std of an image transform are finite, and std above 0');
  }
  const size = crop ?? exact;
  if (!size) {
    throw new WisemergeError('ERR_USAGE', 'this image transform gives images of different sizes', {
      hint: 'Resize to a height and a width, or crop the centre.',
    });
  }
  return { width: size.width, height: size.height };
}

function sidesOf(size: OutputSize | undefined): number[] {
  return size ? [size.width, size.height] : [];
}

function invalid(code: ErrorCode, message: string): WisemergeError {
  return new WisemergeError(code, message, { hint: 'Check the transform that was given.' });
}

/** The transform as text: the same for the same pixels, whatever the order of its keys. */
export function describeTransform({ resize, resample, crop, rescale, mean, std }: ImageTransform): string {
  const resized =
    resize === undefined ? null : resize.to === 'shortest' ? [resize.size] : [resize.height, resize.width];
  const cropped = crop === undefined ? null : [crop.height, crop.width, crop.rounding];
  return JSON.stringify({ resized, resample, cropped, rescale, mean, std });
}
