import { ioError, WisemergeError } from '../../errors.js';
import { readTextFile } from '../../files/read-whole.js';

/** The text of a file of YAML. Throws ERR_USAGE with `hint` where it is a directory, such as a model; ERR_IO. */
export async function readYamlFile(path: string, hint: string): Promise<string> {
  try {
    return await readTextFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EISDIR') throw ioError(error, 'read', path);
    throw new WisemergeError('ERR_USAGE', `${path} is a directory and no YAML file`, { file: path, hint });
  }
}
