import { dirname, resolve } from 'node:path';
import { WisemergeError } from '../../errors.js';
import { readColumn } from '../data/column.js';
import { parseDataPath } from '../data/data-path.js';
import { readGroups } from '../data/groups.js';
import { readLabels } from '../data/labels.js';
import { endingOf, imageEndings, listed, statFiles } from './image-files.js';
import type { ImageSet, ImageSource } from './image-set.js';

/** A table of paths, with labels and groups from it or from files beside it. */
export async function openImageTable({ images, labels, groups, classNames }: ImageSource): Promise<ImageSet> {
  const { file } = parseDataPath(images, 'images');
  const column = await readColumn(images, 'images');
  const names = column.values.map((value, i): string => {
    if (typeof value === 'string' && value !== '') return value;
    throw new WisemergeError('ERR_DATA', `${column.place(i)}: the path of the image is missing`, {
      file,
      hint: 'Every row names an image, relative to the table.',
    });
  });
  if (names.length === 0) {
    throw new WisemergeError('ERR_DATA', `${file} names no images`, {
      file,
      hint: 'A set has at least one image.',
    });
  }
  const others = names.filter((name) => !imageEndings.includes(endingOf(name)));
  if (others.length > 0) {
    throw new WisemergeError('ERR_DATA', `${file} names files that are not decoded: ${listed(others)}`, {
      file,
      hint: `Images end in ${imageEndings.join(', ')}.`,
    });
  }
  const classes = await readLabels(labels ?? file, classNames && { classNames });
  const grouped = groups === undefined ? undefined : await readGroups(groups);
  for (const [what, count] of [
    ['labels', classes.length],
    ['groups', grouped?.ids.length ?? names.length],
  ] as const) {
    if (count === names.length) continue;
    throw new WisemergeError('ERR_DATA_MISMATCH', `${names.length} images of ${file} have ${count} ${what}`, {
      file,
      hint: 'Give one of each per image, in the same order.',
    });
  }
  const directory = dirname(file);
  return {
    source: file,
    files: await statFiles(
      names.map((name) => ({ path: resolve(directory, name), name })),
      file,
    ),
    labels: classes,
    ...(grouped && { groups: grouped }),
    ...(classNames && { classNames }),
    ignored: new Map(),
  };
}
