import { constants, open } from 'node:fs/promises';
import { basename } from 'node:path';
import { ioError, WisemergeError } from '../errors.js';
import { closeFile } from '../files/close-file.js';
import { parseTorchFile } from '../native.js';
import { toTensors, type WeightFile } from './weight-file.js';

/** Names that torch.save's files have. */
export const torchFileName: RegExp = /\.(bin|pt|pth)$/;

/** A checkpoint of torch.save: where its tensors lie. */
export interface TorchFile extends WeightFile {
  /** What was left out of a file that holds more than a model. */
  readonly notes: readonly string[];
}

/**
 * Reads what a checkpoint of torch.save (PyTorch 1.6 and later) holds. Its pickle is read as data: nothing is run,
 * and a name in it that tensors do not need is an error.
 *
 * Throws WisemergeError: ERR_TORCH_FILE, ERR_PICKLE, ERR_PICKLE_GLOBAL, ERR_TORCH_STATE, ERR_TORCH_TENSOR,
 * ERR_NOT_A_CHECKPOINT, ERR_IO; each names the file.
 */
export async function readTorchFile(path: string, signal?: AbortSignal): Promise<TorchFile> {
  // Opening a pipe waits for its writer unless told not to; regular files ignore the flag.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error) => {
    throw ioError(error, 'open', path);
  });
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) {
      throw new WisemergeError('ERR_NOT_A_CHECKPOINT', `${path} is not a regular file`, { file: path });
    }
    const columns = await parseTorchFile(handle.fd, stat.size, signal);
    return {
      path,
      name: basename(path),
      size: stat.size,
      mtimeMs: stat.mtimeMs,
      tensors: toTensors(columns, path, 0),
      metadata: new Map([['format', 'pt']]),
      headerHash: columns.xxh3,
      notes: columns.notes,
    };
  } catch (error) {
    if (!(error instanceof WisemergeError) || error.file !== undefined) throw ioError(error, 'read', path);
    const { code, message, tensor, hint, details } = error;
    throw new WisemergeError(code, `${path}: ${message}`, {
      file: path,
      ...(tensor !== undefined && { tensor }),
      ...(hint !== undefined && { hint }),
      ...(details !== undefined && { details }),
      cause: error,
    });
  } finally {
    await closeFile(handle, path);
  }
}
