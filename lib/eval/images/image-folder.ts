import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ioError, WisemergeError } from '../../errors.js';
import { endingOf, imageEndings, listed, statFiles } from './image-files.js';
import type { ImageSet } from './image-set.js';

/**
 * One directory per class, as torchvision's `ImageFolder` reads it: classes are numbered in the order of their
 * names by code point, images of a class are found at any depth, in the order of directory and then name. With
 * `classNames` a directory's number is the place of its name there; names without a directory are allowed.
 */
export async function openImageFolder(root: string, classNames?: readonly string[]): Promise<ImageSet> {
  const classes: string[] = [];
  const ignored = new Map<string, number>();
  const ignore = (name: string): void => {
    const ending = endingOf(name);
    ignored.set(ending, (ignored.get(ending) ?? 0) + 1);
  };
  for (const { name, directory } of await entriesOf(root)) {
    if (directory) classes.push(name);
    else ignore(name);
  }
  if (classes.length === 0) {
    throw new WisemergeError('ERR_DATA', `${root} has no directories of classes`, {
      file: root,
      hint: 'Put the images of each class into a directory named like the class.',
    });
  }
  const numbers = numberClasses(root, classes, classNames);
  const found: { path: string; name: string }[] = [];
  const labels: number[] = [];
  for (const [i, name] of classes.entries()) {
    const images = await imagesUnder(root, name, ignore);
    if (images.length === 0) {
      throw new WisemergeError('ERR_DATA', `class "${name}" of ${root} has no images`, {
        file: join(root, name),
        hint: `Images end in ${imageEndings.join(', ')}. Remove the directory if it is no class.`,
      });
    }
    for (const image of images) {
      found.push({ path: join(root, image), name: image });
      labels.push(numbers[i]!);
    }
  }
  return {
    source: root,
    files: await statFiles(found, root),
    labels: Int32Array.from(labels),
    ...(classNames ? { classNames } : { classNames: classes, byDirectory: true }),
    ignored,
  };
}

function numberClasses(
  root: string,
  classes: readonly string[],
  classNames: readonly string[] | undefined,
): number[] {
  if (!classNames) return classes.map((_, i) => i);
  const unknown = classes.filter((name) => !classNames.includes(name));
  if (unknown.length > 0) {
    throw new WisemergeError(
      'ERR_DATA',
      `${root} has directories that are not among the ${classNames.length} class names: ${listed(unknown)}`,
      {
        file: root,
        hint: 'Check spelling and case; the names must be those of the head.',
      },
    );
  }
  const shared = classes.find((name) => classNames.indexOf(name) !== classNames.lastIndexOf(name));
  if (shared !== undefined) {
    throw new WisemergeError('ERR_DATA', `"${shared}" is the name of more than one class`, {
      file: join(root, shared),
      hint: 'Make the class names distinct, or name the images in a table with class indices.',
    });
  }
  return classes.map((name) => classNames.indexOf(name));
}

/** Names relative to `root` of the images at any depth below `directory`. */
async function imagesUnder(
  root: string,
  directory: string,
  ignore: (name: string) => void,
): Promise<string[]> {
  const found = new Map<string, string[]>();
  const walk = async (name: string, above: readonly string[]): Promise<void> => {
    const path = join(root, name);
    const id = await identity(path);
    if (above.includes(id)) {
      throw new WisemergeError('ERR_DATA', `${path} is a link to a directory that it is in`, {
        file: path,
        hint: 'Remove the link.',
      });
    }
    const images: string[] = [];
    found.set(name, images);
    for (const entry of await entriesOf(path)) {
      const inside = `${name}/${entry.name}`;
      if (entry.directory) await walk(inside, [...above, id]);
      else if (imageEndings.includes(endingOf(entry.name))) images.push(inside);
      else ignore(entry.name);
    }
  };
  await walk(directory, []);
  // By the whole path of their directory: `a-b` comes before `a/b`.
  return [...found.keys()].sort(byCodePoint).flatMap((name) => found.get(name)!);
}

async function identity(path: string): Promise<string> {
  try {
    const { dev, ino } = await stat(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch (error) {
    throw ioError(error, 'read', path);
  }
}

function byCodePoint(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** Entries by code point (Python's order of text); links are followed. */
async function entriesOf(path: string): Promise<{ name: string; directory: boolean }[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    const known = await Promise.all(
      entries.map(async (entry) => ({
        name: entry.name,
        directory: entry.isSymbolicLink()
          ? await stat(join(path, entry.name)).then(
              (target) => target.isDirectory(),
              // Leads nowhere: if it is named like an image, that one is reported as missing.
              () => false,
            )
          : entry.isDirectory(),
      })),
    );
    return known.sort((a, b) => byCodePoint(a.name, b.name));
  } catch (error) {
    throw ioError(error, 'read', path);
  }
}
