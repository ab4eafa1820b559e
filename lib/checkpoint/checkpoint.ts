import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { types } from 'node:util';
import { beginCall, checkNames, checkPath } from '../call-options.js';
import { ioError, WisemergeError } from '../errors.js';
import { readTextFile } from '../files/read-whole.js';
import { chooseOne, chooseWeights } from './choose-weights.js';
import { readShardIndex, type ShardIndex } from './index-file.js';
import { parseJson } from './json-text.js';
import { readSafetensorsFile } from './safetensors-file.js';
import { StoredTensors } from './stored-tensors.js';
import type { TensorInfo } from './tensor.js';
import { readTorchFile, torchFileName } from './torch-file.js';
import type { WeightFile } from './weight-file.js';
import { knownStems, parseWeightName } from './weight-names.js';

/** The largest single read that every supported Node version accepts in one Uint8Array. */
const maxTensorBytes = 2 ** 32 - 1;

/** Stems of the weights of one model in files of torch.save; others beside them hold optimizers, arguments and random states. */
const torchWeights =
  /^(pytorch_model|model|diffusion_pytorch_model|open_clip_pytorch_model|adapter_model)\.(bin|pt|pth)$/;
const torchIndex = /^(pytorch_model|diffusion_pytorch_model)\.bin\.index\.json$/;
const torchStems = ['pytorch_model', ...knownStems];

/** The configuration beside the weights, as parsed JSON. */
export type Config = Readonly<Record<string, unknown>>;

/** A model to open, or one that is open. */
export type ModelSource = string | Checkpoint;

/** A model's weights on disk, described by headers alone. Holds file handles only after `readTensor`. */
export class Checkpoint implements AsyncDisposable {
  readonly #stored: StoredTensors;
  /** The path it was opened by, absolute. */
  readonly path: string;
  /** Directory of a model, or undefined when a lone file was given. */
  readonly directory: string | undefined;
  /** In shard order. */
  readonly files: readonly WeightFile[];
  /** By name, in file order and, within a file, in order of data offset. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The shard index, if there is one. */
  readonly index: ShardIndex | undefined;
  /** `config.json` of the directory, if there is one. */
  readonly config: Config | undefined;
  /** Worth saying about how it was opened: what was passed over or left out. */
  readonly notes: readonly string[];

  constructor(
    path: string,
    directory: string | undefined,
    files: readonly WeightFile[],
    index: ShardIndex | undefined,
    config: Config | undefined,
    notes: readonly string[] = [],
  ) {
    this.path = path;
    this.directory = directory;
    this.files = files;
    this.index = index;
    this.config = config;
    this.notes = notes;
    this.#stored = new StoredTensors(files);
    this.tensors = new Map(files.flatMap((file) => file.tensors.map((tensor) => [tensor.name, tensor])));
  }

  /** Sum of tensor bytes, without headers. Bytes that two tensors share count twice. */
  get bytes(): number {
    let sum = 0;
    for (const tensor of this.tensors.values()) sum += tensor.bytes;
    return sum;
  }

  /** Sum of tensor elements. */
  get parameters(): number {
    let sum = 0;
    for (const tensor of this.tensors.values()) sum += tensor.count;
    return sum;
  }

  /** True for a PEFT adapter, whose tensors are factors of a change and not weights. */
  get isAdapter(): boolean {
    return this.files.some((file) => file.name.startsWith('adapter_model'));
  }

  /** One tensor's bytes, as stored (little-endian, C order). For tensors up to 4 GiB; whole models stream
   * through `merge` and `diff` instead. */
  async readTensor(name: string): Promise<Uint8Array> {
    const tensor = this.#tensor(name);
    if (tensor.bytes > maxTensorBytes) {
      throw new WisemergeError(
        'ERR_TENSOR_TOO_LARGE',
        `tensor "${name}" has ${tensor.bytes} bytes, above the ${maxTensorBytes} of one Uint8Array`,
        { tensor: name, file: tensor.file },
      );
    }
    const bytes = new Uint8Array(tensor.bytes);
    await this.readTensorInto(name, bytes);
    return bytes;
  }

  /** The same into memory that is there, of the tensor's size. */
  async readTensorInto(name: string, bytes: Uint8Array): Promise<void> {
    const tensor = this.#tensor(name);
    if (!types.isUint8Array(bytes) || bytes.length !== tensor.bytes) {
      throw new WisemergeError('ERR_USAGE', `tensor "${name}" takes ${tensor.bytes} bytes of memory`, {
        tensor: name,
        hint: 'Give a Uint8Array of that length.',
      });
    }
    await this.#stored.read(tensor, 0, bytes);
  }

  /** Some of a tensor's bytes, from `from` on. */
  async readTensorRange(name: string, from: number, length: number): Promise<Uint8Array> {
    const tensor = this.#tensor(name);
    const whole = Number.isSafeInteger(from) && Number.isSafeInteger(length);
    if (!whole || from < 0 || length < 0 || from + length > tensor.bytes) {
      throw new WisemergeError(
        'ERR_USAGE',
        `tensor "${name}" has ${tensor.bytes} bytes; ${length} from ${from} were asked for`,
        { tensor: name, hint: 'Give whole numbers within the tensor.' },
      );
    }
    const bytes = new Uint8Array(length);
    await this.#stored.read(tensor, from, bytes);
    return bytes;
  }

  #tensor(name: string): TensorInfo {
    const tensor = this.tensors.get(name);
    if (tensor) return tensor;
    throw new WisemergeError('ERR_NO_SUCH_TENSOR', `${this.path} has no tensor "${name}"`, { tensor: name });
  }

  toString(): string {
    return this.path;
  }

  /** Closes the files that `readTensor` opened. The checkpoint stays usable. */
  async close(): Promise<void> {
    await this.#stored.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/**
 * Opens a model by its headers: a `.safetensors` file, a file of torch.save (`.bin`, `.pt`, `.pth`), an index of
 * either, or a directory in the Hugging Face (transformers, diffusers component, PEFT, open_clip) layout, where
 * safetensors win. Symbolic links, as in the Hugging Face cache, are followed. One that is open is given back.
 *
 * Throws WisemergeError: ERR_NOT_A_CHECKPOINT (nothing to open, several candidates, or a format that is not
 * read), ERR_INDEX (index and shards disagree), ERR_SAFETENSORS_*, ERR_TORCH_*, ERR_PICKLE*, ERR_USAGE and ERR_IO.
 */
export async function openCheckpoint(
  path: ModelSource,
  options: { signal?: AbortSignal } = {},
): Promise<Checkpoint> {
  using _call = beginCall(options);
  checkNames(options, ['signal']);
  if (path instanceof Checkpoint) return path;
  checkPath(path, 'path');
  const absolute = resolve(path);
  const info = await stat(absolute).catch((error) => {
    throw ioError(error, 'open', path);
  });
  if (info.isDirectory()) return await openDirectory(absolute, options.signal);
  if (isIndex(basename(absolute)))
    return await openSharded(absolute, absolute, dirname(absolute), options.signal);
  if (!absolute.endsWith('.safetensors') && !torchFileName.test(absolute)) {
    throw new WisemergeError(
      'ERR_NOT_A_CHECKPOINT',
      `${path} is not a weights file in a format that wisemerge reads`,
      {
        file: absolute,
        hint: 'Give a .safetensors, .bin, .pt or .pth file, its index, or a model directory.',
      },
    );
  }
  const { file, notes } = await readWeights(absolute, options.signal);
  return new Checkpoint(absolute, undefined, [file], undefined, undefined, notes);
}

function isIndex(name: string): boolean {
  return name.endsWith('.index.json') || parseWeightName(name)?.kind === 'index';
}

async function readWeights(
  path: string,
  signal?: AbortSignal,
): Promise<{ file: WeightFile; notes: readonly string[] }> {
  if (!torchFileName.test(path)) return { file: await readSafetensorsFile(path, signal), notes: [] };
  const file = await readTorchFile(path, signal);
  return { file, notes: file.notes.map((note) => `${file.name}: ${note}`) };
}

async function openDirectory(directory: string, signal?: AbortSignal): Promise<Checkpoint> {
  const names = (
    await readdir(directory).catch((error) => {
      throw ioError(error, 'list', directory);
    })
  ).sort();
  const chosen = chooseWeights(directory, names);
  const pickled = names.filter((name) => torchIndex.test(name) || torchWeights.test(name));
  if (chosen === undefined) {
    if (pickled.length > 0) return openTorch(directory, pickled, signal);
    throw noWeights(directory, names);
  }
  const notes = pickled.map(
    (name) => `${join(directory, name)} is passed over: the safetensors beside it are read`,
  );
  const path = join(directory, chosen);
  if (isIndex(chosen)) return openSharded(directory, path, directory, signal, notes);
  const file = await readSafetensorsFile(path, signal);
  return new Checkpoint(directory, directory, [file], undefined, await readConfig(directory), notes);
}

/** The weights of torch.save in a directory that has no others; an index wins. */
async function openTorch(directory: string, names: string[], signal?: AbortSignal): Promise<Checkpoint> {
  const stem = (name: string): string => name.split('.')[0]!;
  const indexes = names.filter((name) => torchIndex.test(name));
  const chosen = chooseOne(directory, indexes.length > 0 ? indexes : names, stem, torchStems)!;
  const path = join(directory, chosen);
  if (indexes.length > 0) return openSharded(directory, path, directory, signal);
  const { file, notes } = await readWeights(path, signal);
  return new Checkpoint(directory, directory, [file], undefined, await readConfig(directory), notes);
}

function noWeights(directory: string, names: string[]): WisemergeError {
  const pickled = names.find((name) => /\.(bin|pt|pth|ckpt)$/.test(name));
  let hint =
    'Give a directory that holds model.safetensors, or model.safetensors.index.json with its shards.';
  if (pickled)
    hint = `Of the files of torch.save here none has the name of a model: give the path of ${pickled} itself.`;
  else if (names.includes('model_index.json')) {
    hint =
      'This is a diffusers pipeline: give one of its components, for example its unet or transformer folder.';
  }
  return new WisemergeError('ERR_NOT_A_CHECKPOINT', `${directory} holds no weights`, {
    file: directory,
    hint,
  });
}

async function openSharded(
  path: string,
  indexPath: string,
  directory: string,
  signal?: AbortSignal,
  passedOver: readonly string[] = [],
): Promise<Checkpoint> {
  const index = await readShardIndex(indexPath);
  const notes = [...passedOver];
  const files: WeightFile[] = [];
  for (const shard of [...index.shards].sort()) {
    signal?.throwIfAborted();
    const read = await readWeights(join(directory, shard), signal);
    files.push(read.file);
    notes.push(...read.notes);
  }
  checkIndex(index, files);
  return new Checkpoint(path, directory, files, index, await readConfig(directory), notes);
}

/** Every shard holds exactly the tensors the index gives it, and no tensor is in two shards. */
function checkIndex(index: ShardIndex, files: readonly WeightFile[]): void {
  const holder = new Map<string, string>();
  for (const file of files) {
    for (const { name: tensor } of file.tensors) {
      const where = { tensor, file: file.path };
      const other = holder.get(tensor);
      if (other !== undefined) {
        throw new WisemergeError(
          'ERR_INDEX',
          `tensor "${tensor}" is in two shards, ${other} and ${file.name}`,
          where,
        );
      }
      holder.set(tensor, file.name);
      const listed = index.weightMap.get(tensor);
      if (listed === undefined) {
        throw new WisemergeError(
          'ERR_INDEX',
          `tensor "${tensor}" is in ${file.name} but not in ${basename(index.path)}`,
          {
            ...where,
            hint: 'Index and shards belong to different saves: download both again.',
          },
        );
      }
    }
  }
  for (const [tensor, shard] of index.weightMap) {
    const actual = holder.get(tensor);
    if (actual !== shard) {
      throw new WisemergeError(
        'ERR_INDEX',
        `${basename(index.path)} puts tensor "${tensor}" in ${shard}, ${actual ? `but it is in ${actual}` : 'which does not hold it'}`,
        {
          tensor,
          file: index.path,
          hint: 'Index and shards belong to different saves: download both again.',
        },
      );
    }
  }
}

/** A JSON object of a model's directory; undefined if there is no such file. Throws ERR_CONFIG, ERR_IO. */
export async function readConfig(directory: string, name = 'config.json'): Promise<Config | undefined> {
  const path = join(directory, name);
  let text: string;
  try {
    text = await readTextFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw ioError(error, 'read', path);
  }
  try {
    const config = parseJson(text);
    if (typeof config === 'object' && config !== null && !Array.isArray(config)) return config as Config;
  } catch (error) {
    throw new WisemergeError('ERR_CONFIG', `${path} is not valid JSON: ${(error as Error).message}`, {
      file: path,
    });
  }
  throw new WisemergeError('ERR_CONFIG', `${path} is not a JSON object`, { file: path });
}
