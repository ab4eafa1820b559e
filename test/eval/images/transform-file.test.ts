// Transforms from the files that models come with.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeTransform, type ImageTransform, outputSize } from '../../../lib/eval/images/transform.js';
import { readImageTransform } from '../../../lib/eval/images/transform-file.js';
import { tempDir } from '../../support/temp.js';

async function read(config: unknown, name = 'preprocessor_config.json'): Promise<ImageTransform> {
  const path = join(await tempDir(), name);
  writeFileSync(path, typeof config === 'string' ? config : JSON.stringify(config));
  return readImageTransform(path);
}

const clip: ImageTransform = {
  resize: { to: 'shortest', size: 224 },
  resample: 'bicubic',
  crop: { width: 224, height: 224, rounding: 'floor' },
  rescale: 1 / 255,
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
};
const vit: ImageTransform = {
  resize: { to: 'exact', width: 224, height: 224 },
  resample: 'bilinear',
  rescale: 1 / 255,
  mean: [0.5, 0.5, 0.5],
  std: [0.5, 0.5, 0.5],
};

describe('a model given by one of its files', () => {
  it.each(['model.safetensors', 'pytorch_model.bin', 'model.safetensors.index.json'])(
    'has its transform beside %s',
    async (weights) => {
      const directory = await tempDir();
      const config = { image_processor_type: 'ViTImageProcessor' };
      writeFileSync(join(directory, 'preprocessor_config.json'), JSON.stringify(config));
      writeFileSync(join(directory, weights), '');
      expect(await readImageTransform(join(directory, weights))).toEqual(await readImageTransform(directory));
    },
  );

  it('and nothing beside it, is said to have none', async () => {
    const directory = await tempDir();
    writeFileSync(join(directory, 'model.safetensors'), '');
    await expect(readImageTransform(join(directory, 'model.safetensors'))).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      message: `${directory} does not say how images are prepared`,
    });
  });
});

describe('transformers', () => {
  it("reads CLIP's file, of every age", async () => {
    // openai/clip-vit-base-patch32, before and after sizes became objects.
    const early = {
      crop_size: 224,
      do_center_crop: true,
      do_normalize: true,
      do_resize: true,
      feature_extractor_type: 'CLIPFeatureExtractor',
      image_mean: clip.mean,
      image_std: clip.std,
      resample: 3,
      size: 224,
    };
    const { feature_extractor_type: _, ...rest } = early;
    const later = {
      ...rest,
      crop_size: { height: 224, width: 224 },
      do_convert_rgb: true,
      do_rescale: true,
      image_processor_type: 'CLIPImageProcessor',
      rescale_factor: 0.00392156862745098,
      size: { shortest_edge: 224 },
    };
    for (const config of [early, later, { ...later, image_processor_type: 'CLIPImageProcessorFast' }]) {
      expect(await read(config)).toEqual(clip);
    }
  });

  it('has the defaults of each processor', async () => {
    expect(await read({ image_processor_type: 'CLIPImageProcessor' })).toEqual(clip);
    expect(await read({ image_processor_type: 'ViTImageProcessor' })).toEqual(vit);
    expect(await read({ feature_extractor_type: 'ViTFeatureExtractor', size: 384 })).toEqual({
      ...vit,
      resize: { to: 'exact', width: 384, height: 384 },
    });
  });

  it('minds flags, sizes and filters', async () => {
    const base = { image_processor_type: 'CLIPImageProcessor' };
    const off = { do_resize: false, do_rescale: false, do_normalize: false };
    expect(await read({ ...base, ...off, resample: 0, crop_size: [30, 40] })).toEqual({
      resample: 'nearest',
      crop: { height: 30, width: 40, rounding: 'floor' },
      rescale: 1,
      mean: [0, 0, 0],
      std: [1, 1, 1],
    });
    const exact = { size: { height: 20, width: 10 }, do_center_crop: false, resample: 1, image_mean: 0.5 };
    expect(await read({ ...base, ...exact })).toMatchObject({
      resize: { to: 'exact', height: 20, width: 10 },
      resample: 'lanczos',
      mean: [0.5, 0.5, 0.5],
    });
    expect((await read({ ...base, ...exact })).crop).toBeUndefined();
    expect(await read({ ...base, do_rescale: true, rescale_factor: 0.5 })).toMatchObject({ rescale: 0.5 });
  });

  it.each([
    [{ image_processor_type: 'ConvNextImageProcessor' }, /ConvNextImageProcessor is not supported/],
    [{ image_processor_type: 'toString' }, /toString/],
    [{ image_mean: [0, 0, 0] }, /does not name its image processor/],
    [{ image_processor_type: 'CLIPImageProcessor', resample: 4 }, /"resample" is 4/],
    [
      { image_processor_type: 'CLIPImageProcessor', size: { longest_edge: 9 } },
      /"size" is \{"longest_edge":9\}/,
    ],
    [{ image_processor_type: 'CLIPImageProcessor', size: 'big' }, /"size" is "big"/],
    [{ image_processor_type: 'CLIPImageProcessor', do_resize: 1 }, /"do_resize" is 1/],
    [{ image_processor_type: 'CLIPImageProcessor', image_std: [1, 2] }, /"image_std"/],
    [{ image_processor_type: 'CLIPImageProcessor', image_std: [1, 2, 0] }, /std above 0/],
    [{ image_processor_type: 'CLIPImageProcessor', crop_size: 0 }, /1 to 16384 pixels/],
    [{ image_processor_type: 'CLIPImageProcessor', do_center_crop: false }, /different sizes/],
    ['[1]', /not a JSON object/],
    ['{', /not a JSON object/],
  ])('refuses %j', async (config, message) => {
    await expect(read(config)).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      message: expect.stringMatching(message),
      file: expect.stringContaining('preprocessor_config.json'),
      hint: expect.any(String),
    });
  });
});

describe('open_clip and timm', () => {
  const half = { crop: { width: 224, height: 224, rounding: 'half-even' } } as const;

  it("reads open_clip's preprocess_cfg", async () => {
    const model = { vision_cfg: { image_size: 224 } };
    const channels = { mean: clip.mean, std: clip.std };
    const name = 'open_clip_config.json';
    expect(await read({ model_cfg: model, preprocess_cfg: channels }, name)).toEqual({ ...clip, ...half });
    const siglip = { size: [30, 20], mode: 'RGB', interpolation: 'bilinear', resize_mode: 'squash' };
    expect(await read({ model_cfg: model, preprocess_cfg: siglip }, name)).toEqual({
      resize: { to: 'exact', height: 30, width: 20 },
      resample: 'bilinear',
      rescale: 1 / 255,
      ...channels,
    });
    for (const wrong of [
      { resize_mode: 'longest' },
      { mode: 'L' },
      { size: [3, 4] },
      { interpolation: 'random' },
    ]) {
      await expect(read({ preprocess_cfg: wrong }, name)).rejects.toMatchObject({ code: 'ERR_CONFIG' });
    }
  });

  it("reads timm's pretrained_cfg", async () => {
    const pretrained = {
      input_size: [3, 224, 224],
      interpolation: 'bicubic',
      crop_pct: 0.9,
      crop_mode: 'center',
      mean: [0.5, 0.5, 0.5],
      std: [0.5, 0.5, 0.5],
    };
    const config = { architecture: 'vit_base_patch16_224', pretrained_cfg: pretrained };
    // timm: floor(224 / 0.9) = 248.
    const wanted = { ...vit, ...half, resample: 'bicubic', resize: { to: 'shortest', size: 248 } };
    expect(await read(config, 'config.json')).toEqual(wanted);
    expect(await read({ pretrained_cfg: {} }, 'config.json')).toMatchObject({
      resize: { to: 'shortest', size: 256 },
      mean: [0.485, 0.456, 0.406],
    });
    for (const wrong of [
      { crop_mode: 'border' },
      { input_size: [1, 2, 2] },
      { crop_pct: 0 },
      { input_size: [3, 2, 4] },
    ]) {
      await expect(
        read({ pretrained_cfg: { ...pretrained, ...wrong } }, 'config.json'),
      ).rejects.toMatchObject({
        code: 'ERR_CONFIG',
      });
    }
  });

  it('finds the file of a model', async () => {
    const model = join(await tempDir(), 'model');
    mkdirSync(model);
    await expect(readImageTransform(model)).rejects.toMatchObject({ code: 'ERR_CONFIG', file: model });
    writeFileSync(join(model, 'config.json'), '{"model_type": "clip"}');
    await expect(readImageTransform(model)).rejects.toMatchObject({ code: 'ERR_CONFIG', file: model });
    writeFileSync(join(model, 'open_clip_config.json'), '{"preprocess_cfg": {}}');
    expect((await readImageTransform(model)).crop?.rounding).toBe('half-even');
    writeFileSync(join(model, 'preprocessor_config.json'), '{"image_processor_type": "CLIPImageProcessor"}');
    expect((await readImageTransform(model)).crop?.rounding).toBe('floor');
    await expect(readImageTransform(join(model, 'none'))).rejects.toMatchObject({ code: 'ERR_IO' });
  });
});

it('a transform has one description and one size', () => {
  const { std, mean, rescale, crop, resample, resize } = clip;
  expect(describeTransform({ std, mean, rescale, crop: crop!, resample, resize: resize! })).toBe(
    describeTransform(clip),
  );
  const others: ImageTransform[] = [
    { ...clip, resample: 'bilinear' },
    { ...clip, resize: { to: 'shortest', size: 225 } },
    { ...clip, resize: { to: 'exact', width: 224, height: 224 } },
    { ...clip, crop: { ...clip.crop!, rounding: 'half-even' } },
    { ...clip, rescale: 1 },
    { ...clip, mean: [0, 0, 0] },
    { ...clip, std: [1, 1, 1] },
  ];
  expect(new Set([clip, ...others].map(describeTransform)).size).toBe(8);
  expect(outputSize(clip)).toEqual({ width: 224, height: 224 });
  expect(() => outputSize({ ...clip, rescale: Number.NaN })).toThrow('finite');
});
