import { basename, dirname, isAbsolute, join } from 'node:path';

const weightFile = /\.(safetensors|index\.json|bin|pt|pth)$/;

/** The Hub's name of what lies in its cache (`models--org--name/snapshots/…`); undefined for any other path. */
export function hubName(path: string): string | undefined {
  return /models--([^/]+)\/snapshots\/[^/]+$/.exec(path)?.[1]?.split('--').join('/');
}

/**
 * A path as a model card gives it. A card is published, and whose machine made the model is nobody's business: an
 * absolute path becomes the Hub's name or the last part. The manifest has every path as it was given.
 */
export function publishedPath(path: string): string {
  if (!isAbsolute(path)) return path;
  const name = basename(path);
  // The names of weight files say nothing without that of their directory.
  if (weightFile.test(name)) return join(publishedPath(dirname(path)), name);
  return hubName(path) ?? name;
}

/** Options with `publishedPath` of each that is a path, for the command line in a model card. */
export function publishedOptions<Options extends object>(options: Options): Options {
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => [
      name,
      typeof value === 'string' ? publishedPath(value) : value,
    ]),
  ) as Options;
}

/** A merge file as a model card gives it: with `publishedPath` of its values, all else, comments too, as it was. */
export async function publishedConfig(source: string): Promise<string> {
  const { parseAllDocuments, visit } = await import('yaml');
  const parts: string[] = [];
  let end = 0;
  for (const document of parseAllDocuments(source)) {
    visit(document, {
      Scalar(key, { value, range }) {
        if (key === 'key' || typeof value !== 'string' || !range || value.includes('\n')) return;
        // A model and its adapter are joined by a plus.
        const published = value.split('+').map(publishedPath).join('+');
        if (published === value) return;
        const [from, to] = range;
        const written = source.slice(from, to);
        const text = written.includes(value)
          ? written.replace(value, () => published)
          : JSON.stringify(published);
        parts.push(source.slice(end, from), text);
        end = to;
      },
    });
  }
  return parts.join('') + source.slice(end);
}
