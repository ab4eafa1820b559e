import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { Random } from '../../lib/statistics/random.js';
import type { SweepOptions } from '../../lib/sweep/sweep.js';
import { readModel, writeModel } from './models.js';
import { fixture } from './networks.js';
import { tempDir } from './temp.js';

/** Of pictures, and classes of the fixtures. */
export const size = 32;
export const classes = 10;

/** Directories of pictures of noise in one colour per class, which the network tells apart a little. */
export async function drawImages(directory: string, perClass: number, seed: number): Promise<void> {
  for (let c = 0; c < classes; c++) {
    const random = new Random(seed, c);
    await mkdir(join(directory, `class${c}`), { recursive: true });
    for (let i = 0; i < perClass; i++) {
      const pixels = Uint8Array.from(
        { length: 3 * size * size },
        (_, at) => 128 * random.uniform() + 12 * ((c * (1 + (at % 3))) % 11),
      );
      const png = sharp(pixels, { raw: { width: size, height: size, channels: 3 } }).png();
      await png.toFile(join(directory, `class${c}`, `${i}.png`));
    }
  }
}

/** Puts one NaN into the patch embedding of a ViT. */
export function poison(model: string): void {
  const tensors = [...readModel(model).values()].map((one) => {
    const data = Buffer.from(one.data);
    if (one.name.endsWith('patch_embeddings.projection.weight')) data.writeFloatLE(Number.NaN, 20);
    return { ...one, data };
  });
  writeModel(model, tensors);
}

/** Models and two sets of pictures, as a sweep takes them. */
export async function project(family: 'vit-tiny' | 'clip-tiny') {
  const directory = await tempDir();
  for (const end of ['zeroshot', 'finetuned'])
    await cp(fixture(`${family}/${end}`), join(directory, end), { recursive: true });
  const processor = {
    image_processor_type: family === 'vit-tiny' ? 'ViTImageProcessor' : 'CLIPImageProcessor',
    ...{ do_resize: true, size: { height: size, width: size }, resample: 3, do_center_crop: false },
    ...{ do_rescale: true, do_normalize: true, image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5] },
  };
  await writeFile(join(directory, 'zeroshot', 'preprocessor_config.json'), JSON.stringify(processor));
  await drawImages(join(directory, 'val'), 7, 1);
  await drawImages(join(directory, 'shift'), 3, 2);
  const [zeroshot, finetuned] = [join(directory, 'zeroshot'), join(directory, 'finetuned')];
  const options: Omit<SweepOptions, 'out'> = {
    ...{ zeroshot, finetuned, alphas: '0:1:0.5', replicates: 20, threads: 2 },
    sets: [
      { name: 'val', role: 'select', kind: 'id', images: join(directory, 'val') },
      { name: 'shift', role: 'report', kind: 'shift', images: join(directory, 'shift') },
    ],
  };
  return { directory, options };
}
