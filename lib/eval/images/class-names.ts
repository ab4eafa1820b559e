import { WisemergeError } from '../../errors.js';
import { listed } from './image-files.js';
import type { ImageSet } from './image-set.js';

/** A set and, for messages, its name. */
export interface NamedImages {
  /** Default: what was opened. */
  readonly name?: string;
  readonly images: ImageSet;
}

/**
 * Checks that classes have the numbers of the network's: directories are numbered in their own order where no names are given,
 * so that those of some classes, or of others, would be taken for the first ones. Throws ERR_DATA_MISMATCH.
 */
export function checkClassNames(sets: readonly NamedImages[], classes: number): void {
  for (const { name, images } of sets) {
    const { source, classNames, byDirectory } = images;
    if (!classNames || classNames.length === classes) continue;
    const what = byDirectory
      ? `${listed(classNames)}: ${classNames.length} directories for ${classes} classes`
      : `there are ${classNames.length} class names for ${classes} classes`;
    throw new WisemergeError('ERR_DATA_MISMATCH', `${name === undefined ? source : `set ${name}`}: ${what}`, {
      file: source,
      hint: 'Give classNames: the names of all classes, in the order of the head.',
    });
  }
  const [first, ...others] = sets.filter(({ images }) => images.byDirectory);
  for (const other of others) {
    const [a, b] = [first!, other].map(({ images }) => images.classNames!) as [
      readonly string[],
      readonly string[],
    ];
    const apart = [...a.filter((name) => !b.includes(name)), ...b.filter((name) => !a.includes(name))];
    if (apart.length === 0) continue;
    throw new WisemergeError(
      'ERR_DATA_MISMATCH',
      `sets ${first!.name} and ${other.name} have different directories: ${listed(apart)}`,
      {
        file: other.images.source,
        hint: 'Name directories alike, or give classNames in the order of the head.',
      },
    );
  }
}
