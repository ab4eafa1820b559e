// Sets of labelled images: directories as torchvision's ImageFolder reads them, and tables.
import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type ImageSet, openImageSet } from '../../../lib/eval/images/image-set.js';
import { writeTree } from './support/pictures.js';

const rows = ({ files, labels }: ImageSet): [string, number][] =>
  files.map(({ name }, i) => [name, labels[i]!]);
const image = 'not decoded here';

describe('a directory', () => {
  it('has its classes by code point and its images by path', async () => {
    const root = await writeTree({
      'b/2.JPG': image,
      'b/10.png': image,
      'b/deep/1.webp': image,
      'b/deep/in/1.webp': image,
      'b/deep-er/1.gif': image,
      'a/x.tiff': image,
      'Z/x.jpeg': image,
      'é/x.avif': image,
      '\u{ff21}/x.png': image,
      '\u{1f600}/x.png': image,
      'a/notes.txt': '',
      'b/deep/.hidden': '',
      'README.md': '',
      'b/old.bmp': image,
    });
    const set = await openImageSet({ images: root });
    // The order of Python's sorted(): U+FF21 before U+1F600, which UTF-16 puts the other way round.
    expect(set.classNames).toEqual(['Z', 'a', 'b', 'é', '\u{ff21}', '\u{1f600}']);
    expect(rows(set)).toEqual([
      ['Z/x.jpeg', 0],
      ['a/x.tiff', 1],
      ['b/10.png', 2],
      ['b/2.JPG', 2],
      ['b/deep/1.webp', 2],
      ['b/deep-er/1.gif', 2],
      ['b/deep/in/1.webp', 2],
      ['é/x.avif', 3],
      ['\u{ff21}/x.png', 4],
      ['\u{1f600}/x.png', 5],
    ]);
    expect(set.files[0]).toMatchObject({ path: join(root, 'Z/x.jpeg'), size: image.length });
    expect(Object.fromEntries(set.ignored)).toEqual({ '.txt': 1, '': 1, '.md': 1, '.bmp': 1 });
  });

  it("is numbered by the head's names where they are given", async () => {
    const root = await writeTree({ 'cat/1.png': image, 'dog/1.png': image });
    const set = await openImageSet({ images: root, classNames: ['dog', 'bird', 'cat'] });
    expect(rows(set)).toEqual([
      ['cat/1.png', 2],
      ['dog/1.png', 0],
    ]);
    await expect(openImageSet({ images: root, classNames: ['dog', 'Cat'] })).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(/not among the 2 class names: cat$/),
    });
    await expect(openImageSet({ images: root, classNames: ['dog', 'cat', 'cat'] })).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringContaining('"cat" is the name of more than one class'),
    });
  });

  it('follows links, not in circles', async () => {
    const elsewhere = await writeTree({ '1.png': image });
    const root = await writeTree({ 'a/1.png': image });
    symlinkSync(elsewhere, join(root, 'b'));
    expect(rows(await openImageSet({ images: root }))).toEqual([
      ['a/1.png', 0],
      ['b/1.png', 1],
    ]);
    symlinkSync(join(root, 'a'), join(root, 'a', 'again'));
    await expect(openImageSet({ images: root })).rejects.toMatchObject({
      code: 'ERR_DATA',
      file: join(root, 'a', 'again'),
    });
  });

  it('is refused without classes, or with one that has no images', async () => {
    const flat = await writeTree({ '1.png': image });
    await expect(openImageSet({ images: flat })).rejects.toMatchObject({ code: 'ERR_DATA', file: flat });
    const hollow = await writeTree({ 'a/1.png': image, 'b/1.txt': '' });
    await expect(openImageSet({ images: hollow })).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringContaining('class "b"'),
    });
    symlinkSync('/nonexistent/1.png', join(hollow, 'b', '1.png'));
    await expect(openImageSet({ images: hollow })).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringContaining('1 of 2 images are not there: b/1.png'),
    });
    await expect(openImageSet({ images: join(flat, 'none') })).rejects.toMatchObject({ code: 'ERR_IO' });
    await expect(openImageSet({ images: flat, labels: 'x.csv' })).rejects.toMatchObject({
      code: 'ERR_USAGE',
    });
  });
});

describe('a table', () => {
  it('has images relative to it, labels and groups', async () => {
    const root = await writeTree({ 'sub/1.png': image, '2.jpg': image });
    const table = join(root, 't.csv');
    writeFileSync(table, 'path,label,place\nsub/1.png,dog,north\n2.jpg,cat,south\nsub/1.png,dog,south\n');
    const set = await openImageSet({ images: table, groups: `${table}:place`, classNames: ['cat', 'dog'] });
    expect(rows(set)).toEqual([
      ['sub/1.png', 1],
      ['2.jpg', 0],
      ['sub/1.png', 1],
    ]);
    expect(set.files[1]!.path).toBe(join(root, '2.jpg'));
    expect(set.groups).toEqual({ names: ['north', 'south'], ids: Int32Array.of(0, 1, 1) });
  });

  it('may be JSON lines, with columns by name', async () => {
    const root = await writeTree({ '1.png': image, '2.png': image });
    const table = join(root, 't.jsonl');
    writeFileSync(table, '{"photo": "2.png", "kind": 4}\n{"photo": "1.png", "kind": 0}\n');
    expect(rows(await openImageSet({ images: `${table}:photo`, labels: `${table}:kind` }))).toEqual([
      ['2.png', 4],
      ['1.png', 0],
    ]);
  });

  it('is refused with what is wrong with it', async () => {
    const root = await writeTree({ '1.png': image });
    const refusal = (name: string, content: string, more: object = {}): Promise<unknown> => {
      const table = join(root, name);
      writeFileSync(table, content);
      return openImageSet({ images: table, ...more }).catch((error) => error);
    };
    const error = (code: string, message: RegExp): object =>
      expect.objectContaining({ code, message: expect.stringMatching(message) });
    const many = Array.from({ length: 25 }, (_, i) => `gone-${i}.png,0\n`).join('');
    expect(await refusal('a.csv', `path,label\n1.png,0\n${many}`)).toEqual(
      error('ERR_DATA', /25 of 26 images are not there: gone-0\.png, .*gone-19\.png, …$/),
    );
    expect(await refusal('b.csv', 'path,label\n1.bmp,0\n')).toEqual(error('ERR_DATA', /not decoded: 1\.bmp/));
    expect(await refusal('c.csv', 'path,label\n,0\n')).toEqual(error('ERR_DATA', /line 2: the path/));
    expect(await refusal('d.csv', 'path,label\n')).toEqual(error('ERR_DATA', /names no images/));
    expect(await refusal('e.csv', 'path,label\n1.png,dog\n')).toEqual(error('ERR_DATA', /no class names/));
    expect(await refusal('f.csv', 'path,label\n1.png,0\n', { labels: join(root, 'd2.csv') })).toEqual(
      error('ERR_IO', /d2\.csv/),
    );
    writeFileSync(join(root, 'two.csv'), 'label\n0\n1\n');
    expect(await refusal('g.csv', 'path,label\n1.png,0\n', { labels: join(root, 'two.csv') })).toEqual(
      error('ERR_DATA_MISMATCH', /1 images .* 2 labels/),
    );
    expect(await refusal('h.npy', '')).toEqual(error('ERR_DATA', /images are not read/));
    const none = await openImageSet({ images: join(root, 'none.csv') }).catch((e) => e);
    expect(none).toEqual(error('ERR_IO', /none\.csv/));
  });
});
