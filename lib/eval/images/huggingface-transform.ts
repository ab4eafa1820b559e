import { WisemergeError } from '../../errors.js';
import { isObject, type JsonFields } from './json-fields.js';
import type { Resample } from './resample.js';
import type { ImageTransform } from './transform.js';

type Channels = readonly [number, number, number];

export const clipMean: Channels = [0.48145466, 0.4578275, 0.40821073];
export const clipStd: Channels = [0.26862954, 0.26130258, 0.27577711];
const halves: Channels = [0.5, 0.5, 0.5];

/** What a processor does where its file is silent. */
interface Defaults {
  /** What a `size` that is one number means. */
  readonly size: (size: number) => ImageTransform['resize'] & {};
  readonly resample: Resample;
  readonly crop: boolean;
  readonly mean: Channels;
  readonly std: Channels;
}

const processors: Readonly<Record<string, Defaults>> = {
  CLIP: {
    size: (size) => ({ to: 'shortest', size }),
    resample: 'bicubic',
    crop: true,
    mean: clipMean,
    std: clipStd,
  },
  ViT: {
    size: (size) => ({ to: 'exact', width: size, height: size }),
    resample: 'bilinear',
    crop: false,
    mean: halves,
    std: halves,
  },
};
const defaultSize = 224;

/** Pillow's codes. */
const resampleCodes: Readonly<Record<number, Resample>> = {
  0: 'nearest',
  1: 'lanczos',
  2: 'bilinear',
  3: 'bicubic',
};

/**
 * The transform of a `preprocessor_config.json` of CLIPImageProcessor, ViTImageProcessor, their `Fast` forms and
 * the earlier feature extractors. Throws ERR_CONFIG.
 */
export function huggingFaceTransform(config: JsonFields): ImageTransform {
  const defaults = defaultsOf(config);
  const resize = config.flag('do_resize', true) ? resizeOf(config, defaults) : undefined;
  const crop = config.flag('do_center_crop', defaults.crop) ? cropOf(config) : undefined;
  const normalise = config.flag('do_normalize', true);
  const rescale = config.flag('do_rescale', true) ? (config.number('rescale_factor') ?? 1 / 255) : 1;
  return {
    ...(resize && { resize }),
    resample: resampleOf(config, defaults),
    ...(crop && { crop: { ...crop, rounding: 'floor' } }),
    rescale,
    mean: normalise ? (config.channels('image_mean') ?? defaults.mean) : [0, 0, 0],
    std: normalise ? (config.channels('image_std') ?? defaults.std) : [1, 1, 1],
  };
}

function defaultsOf(config: JsonFields): Defaults {
  const type = config.text('image_processor_type') ?? config.text('feature_extractor_type');
  const family = /^(\w+?)(ImageProcessor(Fast|Pil)?|FeatureExtractor)$/.exec(type ?? '')?.[1] ?? '';
  const defaults = Object.hasOwn(processors, family) ? processors[family] : undefined;
  if (defaults) return defaults;
  throw new WisemergeError(
    'ERR_CONFIG',
    type === undefined
      ? `${config.file} does not name its image processor`
      : `${config.file}: the image processor ${type} is not supported`,
    {
      file: config.file,
      hint: 'Supported as "image_processor_type" are CLIPImageProcessor and ViTImageProcessor, the same with Fast, and CLIPFeatureExtractor and ViTFeatureExtractor.',
    },
  );
}

function resizeOf(config: JsonFields, defaults: Defaults): ImageTransform['resize'] & {} {
  if (isObject(config.get('size'))) {
    const size = config.object('size')!;
    if (size.get('longest_edge') !== undefined) {
      throw config.wrong('size', 'a number, {"shortest_edge"} or {"height", "width"}');
    }
    const shortest = size.number('shortest_edge');
    if (shortest !== undefined) return { to: 'shortest', size: shortest };
  }
  const size = config.side('size') ?? defaultSize;
  return typeof size === 'number' ? defaults.size(size) : { to: 'exact', ...size };
}

function cropOf(config: JsonFields): { width: number; height: number } {
  const size = config.side('crop_size') ?? defaultSize;
  return typeof size === 'number' ? { width: size, height: size } : size;
}

function resampleOf(config: JsonFields, defaults: Defaults): Resample {
  const code = config.number('resample');
  const resample = code === undefined ? defaults.resample : resampleCodes[code];
  if (resample) return resample;
  throw config.wrong('resample', '0 (nearest), 1 (lanczos), 2 (bilinear) or 3 (bicubic)');
}
