import sharp from 'sharp';
import type { RgbImage } from './resample.js';

/** Formats of files that are decoded, whatever their ending says. */
const decoded = ['jpeg', 'png', 'webp', 'gif', 'heif', 'tiff'];

/**
 * An image file as 8-bit RGB, as Pillow's `Image.open(...).convert('RGB')` gives it: EXIF orientation and colour
 * profiles are ignored, alpha is dropped, of animations the first frame is taken. Throws an Error whose message
 * says what is wrong with the file.
 */
export async function decodeRgb(file: Uint8Array): Promise<RgbImage> {
  // `error` and not the default `warning`: odd metadata is no reason to refuse pixels that are all there.
  const image = sharp(file, { failOn: 'error', ignoreIcc: true });
  const { format, space, depth } = await image.metadata();
  if (!decoded.includes(format)) throw new Error(`it holds ${format} data, which is not decoded`);
  if (depth !== 'uchar' && depth !== 'ushort') throw new Error(`its pixels are of the type ${depth}`);
  if (space === 'cmyk') {
    const { data, info } = await image
      .pipelineColourspace('cmyk')
      .toColourspace('cmyk')
      .raw()
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== 4) throw new Error(`it has ${info.channels} channels of CMYK`);
    return { width: info.width, height: info.height, pixels: rgbFromCmyk(data) };
  }
  const { data, info } = await image
    .toColourspace('srgb')
    .removeAlpha()
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  if (info.channels !== 3) throw new Error(`it has ${info.channels} channels`);
  return { width: info.width, height: info.height, pixels: data };
}

/** Pillow's formula, without a colour profile: `255 - K - C (255 - K) / 255`, rounded. */
function rgbFromCmyk(cmyk: Uint8Array): Uint8Array {
  const rgb = new Uint8ClampedArray((cmyk.length / 4) * 3);
  for (let from = 0, to = 0; from < cmyk.length; from += 4) {
    const light = 255 - cmyk[from + 3]!;
    for (let c = 0; c < 3; c++) {
      const product = cmyk[from + c]! * light + 128;
      rgb[to++] = light - (((product >> 8) + product) >> 8);
    }
  }
  return new Uint8Array(rgb.buffer);
}
