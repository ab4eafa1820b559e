import { clipMean, clipStd } from './huggingface-transform.js';
import { JsonFields } from './json-fields.js';
import type { Resample } from './resample.js';
import type { ImageTransform } from './transform.js';

const rescale = 1 / 255;
const interpolations: readonly string[] = ['nearest', 'bilinear', 'bicubic', 'lanczos'];

/** The evaluation transform of an `open_clip_config.json`, `preprocess_cfg` in it. Throws ERR_CONFIG. */
export function openClipTransform(config: JsonFields): ImageTransform {
  const fields = config.object('preprocess_cfg')!;
  const model = config.object('model_cfg')?.object('vision_cfg');
  const mode = fields.text('mode') ?? 'RGB';
  if (mode !== 'RGB') throw fields.wrong('mode', '"RGB"');
  const size = square(fields.side('size') ?? model?.side('image_size') ?? 224);
  const common = {
    resample: interpolationOf(fields),
    rescale,
    mean: fields.channels('mean') ?? clipMean,
    std: fields.channels('std') ?? clipStd,
  };
  const resizeMode = fields.text('resize_mode') ?? 'shortest';
  if (resizeMode === 'squash') return { resize: { to: 'exact', ...size }, ...common };
  if (resizeMode !== 'shortest') throw fields.wrong('resize_mode', '"shortest" or "squash"');
  if (size.width !== size.height) throw fields.wrong('size', 'a square with "resize_mode": "shortest"');
  return {
    resize: { to: 'shortest', size: size.width },
    ...common,
    crop: { ...size, rounding: 'half-even' },
  };
}

/** The evaluation transform of timm's `config.json`, `pretrained_cfg` in it. Throws ERR_CONFIG. */
export function timmTransform(config: JsonFields): ImageTransform {
  const fields = config.object('pretrained_cfg')!;
  const input = fields.get('input_size') ?? [3, 224, 224];
  if (!Array.isArray(input) || input.length !== 3 || input[0] !== 3) {
    throw fields.wrong('input_size', '[3, height, width]');
  }
  const [, height, width] = new JsonFields(config.file, { input_size: input }).channels('input_size')!;
  const cropped = fields.number('crop_pct') ?? 0.875;
  if (!(cropped > 0 && cropped <= 1)) throw fields.wrong('crop_pct', 'a number above 0, up to 1');
  const common = {
    resample: interpolationOf(fields),
    crop: { width, height, rounding: 'half-even' as const },
    rescale,
    mean: fields.channels('mean') ?? ([0.485, 0.456, 0.406] as const),
    std: fields.channels('std') ?? ([0.229, 0.224, 0.225] as const),
  };
  const [tall, wide] = [Math.floor(height / cropped), Math.floor(width / cropped)];
  const mode = fields.text('crop_mode') ?? 'center';
  if (mode === 'squash') return { resize: { to: 'exact', width: wide, height: tall }, ...common };
  if (mode !== 'center') throw fields.wrong('crop_mode', '"center" or "squash"');
  if (width !== height) throw fields.wrong('input_size', 'a square with "crop_mode": "center"');
  return { resize: { to: 'shortest', size: wide }, ...common };
}

function interpolationOf(fields: JsonFields): Resample {
  const name = fields.text('interpolation') ?? 'bicubic';
  if (interpolations.includes(name)) return name as Resample;
  throw fields.wrong('interpolation', interpolations.join(', '));
}

function square(size: number | { width: number; height: number }): { width: number; height: number } {
  return typeof size === 'number' ? { width: size, height: size } : size;
}
