import { extname } from 'node:path';
import { WisemergeError } from '../../errors.js';

/** What an array or a column is read for: decides the names that are looked for first. */
export type DataRole = 'features' | 'labels' | 'groups' | 'images' | 'names' | 'texts';

/** The formats that are read, by the ending of the file's name. */
export type DataFormat = 'npy' | 'npz' | 'safetensors' | 'csv' | 'jsonl' | 'parquet';

/** `file.npz:member`, taken apart. */
export interface DataPath {
  readonly file: string;
  readonly format: DataFormat;
  /** The member of an archive, or the column of a table, when one was named. */
  readonly member?: string;
}

const arrayFormats = ['npy', 'npz', 'safetensors'] as const;
const tableFormats = ['csv', 'jsonl', 'parquet'] as const;

/** Names of members and columns in order of preference. */
const usualNames: Readonly<Record<DataRole, readonly string[]>> = {
  features: ['features', 'X', 'x', 'embeddings'],
  labels: ['labels', 'label', 'class', 'y', 'targets', 'target'],
  groups: ['groups', 'group', 'g'],
  images: ['path', 'paths', 'image', 'images', 'file', 'file_name', 'filename'],
  names: ['name', 'names', 'class_name', 'class', 'label'],
  texts: ['text', 'texts', 'content', 'document'],
};

export function isTable(format: DataFormat): boolean {
  return (tableFormats as readonly string[]).includes(format);
}

/**
 * Takes `file` or `file:member` apart at the colon that follows a known ending, so that other colons in a path
 * stay. Throws ERR_DATA for an ending that is not read for this role.
 */
export function parseDataPath(source: string, role: DataRole): DataPath {
  // Features come as arrays only: a table of numbers would be parsed at a hundredth of the disk's speed.
  const table = role === 'images' || role === 'names' || role === 'texts';
  const arrays = table ? [] : arrayFormats;
  const formats: readonly DataFormat[] = role === 'features' ? arrays : [...arrays, ...tableFormats];
  const endings = formats.map((format) => `.${format}`);
  const ending = extname(source).toLowerCase();
  if (endings.includes(ending)) return { file: source, format: ending.slice(1) as DataFormat };
  const parts = new RegExp(`^(.*\\.(${formats.join('|')})):(.+)$`, 'is').exec(source);
  if (parts) {
    const [, file, format, member] = parts as unknown as [string, string, string, string];
    return { file, format: format.toLowerCase() as DataFormat, member };
  }
  throw new WisemergeError('ERR_DATA', `${source}: ${role} are not read from this kind of file`, {
    file: source,
    hint: `Save them as one of ${endings.join(', ')}.`,
  });
}

/**
 * The member or column to read: the one that was named, else the first usual name that is there, else the only
 * one. Throws ERR_DATA that lists what there is.
 */
export function chooseName(names: readonly string[], path: DataPath, role: DataRole): string {
  const { file, member } = path;
  const part = isTable(path.format) ? 'column' : 'array';
  const listed = names.slice(0, 20).join(', ') + (names.length > 20 ? ', …' : '');
  if (member !== undefined) {
    if (names.includes(member)) return checkUnique(names, member, file, part);
    throw new WisemergeError('ERR_DATA', `${file} has no ${part} "${member}"`, {
      file,
      hint: names.length > 0 ? `It has: ${listed}.` : `It has no ${part} at all.`,
    });
  }
  const usual = usualNames[role].find((name) => names.includes(name));
  const name = usual ?? (names.length === 1 ? names[0] : undefined);
  if (name !== undefined) return checkUnique(names, name, file, part);
  throw new WisemergeError(
    'ERR_DATA',
    names.length === 0
      ? `${file} is empty`
      : `${file} has several ${part}s, none of them named ${usualNames[role].join(', ')}`,
    {
      file,
      hint: names.length === 0 ? `Save the ${role} again.` : `Name one as ${file}:NAME; it has: ${listed}.`,
    },
  );
}

function checkUnique(names: readonly string[], name: string, file: string, part: string): string {
  if (names.indexOf(name) === names.lastIndexOf(name)) return name;
  throw new WisemergeError('ERR_DATA', `${file} has more than one ${part} "${name}"`, {
    file,
    hint: 'Save it again with distinct names.',
  });
}
