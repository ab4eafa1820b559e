import { join } from 'node:path';
import { z } from 'zod';
import { ioError, WisemergeError } from '../errors.js';
import { readTextFile } from '../files/read-whole.js';
import { isPlainFileName } from './index-file.js';
import { manifestName, type OutputManifest } from './manifest.js';

// Verification opens these: nothing is followed out of the manifest's directory.
const fileName = z.string().refine(isPlainFileName, 'not a plain file name');
const pathBelow = z
  .string()
  .refine((path) => path.split('/').every(isPlainFileName), 'not a path below the output');

/** What the manifests of all outputs have: of merges, adapters and mixtures of experts. */
export type AnyManifest = Pick<
  OutputManifest,
  'wisemerge' | 'method' | 'command' | 'parameters' | 'files'
> & {
  /** Earlier versions did not name them. */
  readonly companions?: OutputManifest['companions'] | undefined;
};

const manifestSchema: z.ZodType<AnyManifest> = z.object({
  wisemerge: z.string(),
  method: z.string(),
  command: z.string(),
  parameters: z.number(),
  files: z.array(z.object({ name: fileName, bytes: z.number(), xxh3: z.string() })),
  companions: z.array(pathBelow).optional(),
});

/** Throws ERR_MANIFEST or ERR_IO. */
export async function readManifest(directory: string): Promise<AnyManifest> {
  const path = join(directory, manifestName);
  const text = await readTextFile(path).catch((error) => {
    throw ioError(error, 'read', path);
  });
  try {
    return manifestSchema.parse(JSON.parse(text));
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw new WisemergeError('ERR_MANIFEST', `${path} is not a manifest of wisemerge: ${why}`, {
      file: path,
    });
  }
}
