import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import type { ImageTransform } from '../../../../lib/eval/images/transform.js';
import { tempDir } from '../../../support/temp.js';

/** Grey levels, 4 x 4. */
export const small: ImageTransform = {
  resize: { to: 'exact', width: 4, height: 4 },
  resample: 'bilinear',
  rescale: 1,
  mean: [0, 0, 0],
  std: [1, 1, 1],
};
export const smallElements = 3 * 4 * 4;

/** A PNG, 8 x 6, all of one grey. */
export function grey(level: number): Promise<Buffer> {
  const create = { width: 8, height: 6, channels: 3, background: { r: level, g: level, b: level } } as const;
  return sharp({ create }).png().toBuffer();
}

/** Writes files by name below a fresh directory: grey levels become images. Gives the directory. */
export async function writeTree(files: Readonly<Record<string, number | string | Buffer>>): Promise<string> {
  const root = await tempDir();
  for (const [name, content] of Object.entries(files)) {
    const path = join(root, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, typeof content === 'number' ? await grey(content) : content);
  }
  return root;
}

/** As many images as levels, of one class: `i` by number. */
export function numbered(levels: readonly number[]): Promise<string> {
  return writeTree(
    Object.fromEntries(levels.map((level, i) => [`c/${String(i).padStart(4, '0')}.png`, level])),
  );
}
