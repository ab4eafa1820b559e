import { join } from 'node:path';
import { beginCall } from '../../call-options.js';
import { type Checkpoint, openCheckpoint } from '../../checkpoint/checkpoint.js';
import { finishOutput } from '../../checkpoint/finish-output.js';
import { GrowingFile } from '../../checkpoint/growing-file.js';
import { InputPool } from '../../checkpoint/input-pool.js';
import { describeInput, type ManifestInput, type OutputManifest } from '../../checkpoint/manifest.js';
import { modelName, renderAdapterCard } from '../../checkpoint/model-card.js';
import { type ProgressListener, ProgressMeter } from '../../checkpoint/progress.js';
import { publishedOptions } from '../../checkpoint/published-paths.js';
import { itemSize, type TensorInfo } from '../../checkpoint/tensor.js';
import { OutputTransaction } from '../../checkpoint/transaction.js';
import { WisemergeError } from '../../errors.js';
import { LowRank } from '../../native/low-rank.js';
import { dtypeByName, Engine, engineOptions, HostBuffer } from '../../native.js';
import { ownCopy } from '../../own-copy.js';
import { version } from '../../version.js';
import { checkCompatibility, type TensorPair } from '../compatibility.js';
import { equalBytes } from '../copied.js';
import { dtypeNames } from '../options.js';
import { checkOutputPath } from '../plan.js';
import { incompatible } from '../problems.js';
import { adapterConfig, type RankedTarget } from './adapter-config.js';
import { DifferenceReader, readerBytes } from './differences.js';
import {
  checkExtractOptions,
  type ExtractLoraOptions,
  formatExtractCommand,
  type RankChoice,
} from './extract-options.js';
import { type ExtractLoraResult, ExtractTally } from './extract-report.js';
import { chooseTargets, type LeftTensor, type LoraTarget, storesTransposed } from './targets.js';

export interface ExtractLoraRunOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: ProgressListener;
}

const weightsName = 'adapter_model.safetensors';
/** Modules that PEFT has wrapped twice. */
const prefix = 'base_model.model.';
const copyBytes = 4 * 2 ** 20;

/**
 * Writes a PEFT LoRA adapter for `base` whose sum with it comes near `finetuned`: of each weight's difference the best
 * approximation of its rank (Eckart and Young, 1936), found by subspace iteration (Halko, Martinsson and Tropp, 2011). Memory is
 * that of the largest weight in f32; no figure depends on threads.
 *
 * Rejects with WisemergeError: ERR_USAGE, ERR_INCOMPATIBLE (all problems in `details.problems`), ERR_OUTPUT_*, before
 * any work; ERR_DATA for differences that are not finite or none at all; ERR_INPUT_CHANGED, ERR_IO, ERR_NO_SPACE,
 * ERR_OUT_OF_MEMORY, ERR_DEVICE_*; or with the abort reason.
 */
export async function extractLora(
  options: ExtractLoraOptions & ExtractLoraRunOptions,
): Promise<ExtractLoraResult> {
  using _call = beginCall(options);
  const { signal, onProgress, ...given } = ownCopy(options);
  const ranks = checkExtractOptions(given);
  const began = performance.now();
  const opening = signal ? { signal } : {};
  const [base, finetuned] = await Promise.all([
    openCheckpoint(given.base, opening),
    openCheckpoint(given.finetuned, opening),
  ]);
  checkOutputPath(given.out, [base, finetuned]);
  const compared = await checkCompatibility(base, finetuned);
  const { problems, warnings } = compared;
  if (problems.length > 0) throw incompatible(problems);
  // A buffer that only the base has is no difference.
  const pairs = compared.pairs.filter(({ action }) => action !== 'keep');
  const { modules, fanInFanOut = storesTransposed(base), out, force = false } = given;
  const chosen = chooseTargets(base, pairs, modules, fanInFanOut);
  if (chosen.targets.length === 0) {
    throw new WisemergeError('ERR_USAGE', `${base.path} has no matrix that an adapter could change`, {
      file: base.path,
      hint: 'Give modules (--modules), such as embed_tokens.',
    });
  }
  const transaction = await OutputTransaction.begin(out, { kind: 'extract-lora', force }, signal);
  try {
    const run = new Extraction({ base, finetuned, pairs, ...chosen }, given, ranks, signal);
    const extracted = await run.run(transaction.directory, new ProgressMeter(onProgress));
    signal?.throwIfAborted();
    await transaction.commit();
    return {
      ...extracted,
      directory: transaction.target,
      bytesWritten: extracted.files.reduce((sum, { bytes }) => sum + bytes, 0),
      seconds: (performance.now() - began) / 1000,
      warnings: [...base.notes, ...finetuned.notes, ...warnings, ...chosen.warnings, ...transaction.notes],
    };
  } finally {
    await transaction.rollback();
  }
}

interface Models {
  readonly base: Checkpoint;
  readonly finetuned: Checkpoint;
  readonly pairs: readonly TensorPair[];
  readonly targets: readonly LoraTarget[];
  readonly left: readonly LeftTensor[];
}

/** Byte offsets in the arena. */
interface Places {
  readonly matrix: number;
  readonly a: number;
  readonly b: number;
  readonly reader: number;
  readonly bytes: number;
}

class Extraction {
  readonly #models: Models;
  readonly #options: ExtractLoraOptions;
  readonly #ranks: RankChoice;
  readonly #signal: AbortSignal | undefined;
  readonly #device: string;
  readonly #dtype: 'F32' | 'F16' | 'BF16';
  readonly #inputs: InputPool;
  readonly #tally = new ExtractTally();
  readonly #ranked: RankedTarget[] = [];
  readonly #saved: string[] = [];

  constructor(
    models: Models,
    options: ExtractLoraOptions,
    ranks: RankChoice,
    signal: AbortSignal | undefined,
  ) {
    this.#models = models;
    this.#options = options;
    this.#ranks = ranks;
    this.#signal = signal;
    const { device = 'auto', dtype = 'float32' } = options;
    this.#device = device === 'auto' ? 'cpu' : device;
    this.#dtype = dtypeNames[dtype];
    this.#inputs = new InputPool([...models.base.files, ...models.finetuned.files], 'cached');
  }

  async run(
    directory: string,
    progress: ProgressMeter,
  ): Promise<Omit<ExtractLoraResult, 'directory' | 'bytesWritten' | 'seconds' | 'warnings'>> {
    const { pairs } = this.#models;
    const { threads } = this.#options;
    progress.start(
      'stream',
      pairs.reduce((sum, { x, y }) => sum + x.bytes + y.bytes, 0),
    );
    using sums = new Engine(engineOptions('cpu', threads));
    using products = new Engine(engineOptions(this.#device, threads));
    const places = this.#reserve();
    using arena = new HostBuffer(places.bytes);
    using lowRank = new LowRank(products, arena, threads ?? 0);
    const file = await GrowingFile.create(join(directory, weightsName));
    try {
      const { reader: at } = places;
      const reader = new DifferenceReader(sums, arena, at, this.#inputs, progress, this.#signal);
      const targets = new Map(this.#models.targets.map((target) => [target.pair, target]));
      const left = new Map(this.#models.left.map((one) => [one.pair, one]));
      const differing: (LeftTensor & { squares: number })[] = [];
      for (const pair of pairs) {
        this.#signal?.throwIfAborted();
        const target = targets.get(pair);
        if (target) await this.#adapt(target, reader, lowRank, arena, places, file);
        else if (pair.action === 'copy') await this.#checkEqual(pair, progress);
        else {
          const squares = await reader.squares(pair);
          if (squares > 0) differing.push({ ...left.get(pair)!, squares });
          else this.#tally.unchanged++;
        }
      }
      if (this.#ranked.length === 0) throw this.#nothing();
      const modules = await this.#finishLeft(differing, file);
      progress.start('finish', 0);
      const written = await file.finish(new Map([['format', 'pt']]));
      await this.#inputs.close();
      const report = this.#tally.report();
      const result = {
        files: [written],
        ...report,
        saved: this.#saved,
        parameters: file.parameters,
        device: this.#device,
      };
      await this.#writeCompanions(directory, result, modules);
      return result;
    } finally {
      await file.abandon();
      await this.#inputs.close().catch(() => {});
    }
  }

  /** Room for the largest difference, its factors, and what is read. */
  #reserve(): Places {
    const item = itemSize(this.#dtype);
    let [matrix, a, b] = [0, 0, 0];
    for (const { pair, transposed } of this.#models.targets) {
      const [rows, columns] = pair.x.shape as [number, number];
      const rank = Math.min(this.#ranks.most, rows, columns);
      matrix = Math.max(matrix, 4 * rows * columns);
      a = Math.max(a, rank * item * (transposed ? rows : columns));
      b = Math.max(b, rank * item * (transposed ? columns : rows));
    }
    const align = (bytes: number): number => Math.ceil(bytes / 4096) * 4096;
    const at = [0, align(matrix), align(matrix) + align(a), align(matrix) + align(a) + align(b)] as const;
    return { matrix: at[0], a: at[1], b: at[2], reader: at[3], bytes: at[3] + readerBytes };
  }

  async #adapt(
    target: LoraTarget,
    reader: DifferenceReader,
    lowRank: LowRank,
    arena: HostBuffer,
    { matrix, a, b }: Places,
    file: GrowingFile,
  ): Promise<void> {
    const { pair, module, transposed, embedding } = target;
    const { name, file: path, shape } = pair.x;
    const [rows, columns] = shape as [number, number];
    await reader.load(pair, matrix);
    const most = Math.min(this.#ranks.most, rows, columns);
    const found = await lowRank
      .decompose(
        {
          ...{ matrix, rows, columns, rank: most, energy: this.#ranks.energy },
          ...{ dtype: dtypeByName(this.#dtype)!.index, transposed, a, b },
        },
        this.#options.seed ?? 0,
        name,
        this.#signal,
      )
      .catch((error) => {
        throw error instanceof WisemergeError && error.code === 'ERR_DATA'
          ? new WisemergeError('ERR_DATA', `"${name}": ${error.message}`, {
              ...{ tensor: name, file: path, cause: error },
              hint: 'Write the factors as float32.',
            })
          : error;
      });
    if (found.rank === 0) {
      this.#tally.unchanged++;
      return;
    }
    this.#tally.adapted({ name, shape }, found.rank, found.squares);
    this.#ranked.push({ module, transposed, embedding, rank: found.rank });
    const [input, output] = transposed ? [rows, columns] : [columns, rows];
    const item = itemSize(this.#dtype);
    const kind = embedding ? ['lora_embedding_A', 'lora_embedding_B'] : ['lora_A.weight', 'lora_B.weight'];
    const dtype = this.#dtype;
    const bytes = (at: number, count: number) => inPieces(arena, at, count * item);
    await file.add(
      { name: `${prefix}${module}.${kind[0]}`, dtype, shape: [found.rank, input] },
      bytes(a, found.rank * input),
    );
    await file.add(
      { name: `${prefix}${module}.${kind[1]}`, dtype, shape: [output, found.rank] },
      bytes(b, found.rank * output),
    );
  }

  /** Saves tensors that differ and have no factors where that was asked for. Gives the modules. */
  async #finishLeft(
    differing: readonly (LeftTensor & { readonly squares: number })[],
    file: GrowingFile,
  ): Promise<{ readonly names: string[]; readonly biases: boolean }> {
    const adapted = new Set(this.#ranked.map(({ module }) => module));
    const names = new Set<string>();
    let biases = false;
    for (const { pair, why, squares } of differing) {
      const [, module, part] = /^(.+)\.(weight|bias)$/.exec(pair.x.name) ?? [];
      const whole = this.#options.saveModules && module !== undefined && why !== 'not chosen';
      if (!whole) {
        this.#tally.leftOut(pair.x, why, squares);
        continue;
      }
      this.#tally.saved(squares);
      if (part === 'bias' && adapted.has(module)) {
        biases = true;
        await this.#save(`${prefix}${module}.base_layer.bias`, pair, file);
      } else names.add(module);
    }
    // PEFT expects all parameters of a module that it saves.
    for (const pair of this.#models.pairs) {
      const module = pair.x.name.replace(/\.[^.]+$/, '');
      if (names.has(module)) await this.#save(`${prefix}${pair.x.name}`, pair, file);
    }
    return { names: [...names].sort(), biases };
  }

  async #save(name: string, { x, y }: TensorPair, file: GrowingFile): Promise<void> {
    this.#saved.push(x.name);
    await file.add({ name, dtype: y.dtype, shape: y.shape }, this.#read(y));
  }

  async *#read({ file, offset, bytes }: TensorInfo): AsyncGenerator<Uint8Array> {
    const { files, release } = await this.#inputs.acquire([file]);
    try {
      const piece = new Uint8Array(Math.min(copyBytes, bytes));
      for (let done = 0; done < bytes; done += piece.length) {
        this.#signal?.throwIfAborted();
        const part = piece.subarray(0, Math.min(piece.length, bytes - done));
        await files.get(file)!.read(part, offset + done);
        yield part;
      }
    } finally {
      await release();
    }
  }

  async #checkEqual({ x, y }: TensorPair, progress: ProgressMeter): Promise<void> {
    if (await equalBytes(x, y, this.#inputs, progress, this.#signal)) return;
    throw incompatible([
      {
        code: 'ERR_INTEGER_TENSOR_DIFFERS',
        tensor: x.name,
        file: y.file,
        message: `"${x.name}" (${x.dtype}) differs between the models, which no adapter can express`,
        fix: 'Integers are indices or counters: make the tensor equal in both models.',
      },
    ]);
  }

  #nothing(): WisemergeError {
    const { base, finetuned, targets } = this.#models;
    return new WisemergeError(
      'ERR_DATA',
      `the ${targets.length} weights to adapt are equal in ${base.path} and ${finetuned.path}`,
      { file: finetuned.path, hint: 'Give the model that was fine-tuned, or other modules (--modules).' },
    );
  }

  /** The manifest last. */
  async #writeCompanions(
    directory: string,
    result: Omit<ExtractLoraResult, 'directory' | 'bytesWritten' | 'seconds' | 'warnings'>,
    { names, biases }: { readonly names: string[]; readonly biases: boolean },
  ): Promise<void> {
    const { base, finetuned } = this.#models;
    const { files, parameters, total } = result;
    const cached = /models--.+?\/snapshots\//.test(base.path);
    const config = adapterConfig({
      base,
      baseName: cached ? modelName(base) : this.#options.base,
      targets: this.#ranked,
      savedModules: names,
      biases,
    });
    const command = formatExtractCommand(this.#options);
    const card = await renderAdapterCard({
      ...{ base, finetuned, ...total, version },
      command: formatExtractCommand(publishedOptions(this.#options)),
    });
    const texts = { 'adapter_config.json': `${JSON.stringify(config, null, 2)}\n`, 'README.md': card };
    await finishOutput<AdapterManifest>(directory, {}, texts, {
      method: 'extract-lora',
      formula: 'W + B A',
      dtype: this.#dtype,
      device: this.#device,
      command,
      base: describeInput(this.#options.base, base),
      finetuned: describeInput(this.#options.finetuned, finetuned),
      parameters,
      files,
      nonFinite: {},
      total,
      tensors: result.tensors,
      left: result.left,
    });
  }
}

/** `wisemerge.json` of an adapter. */
interface AdapterManifest extends OutputManifest, Pick<ExtractLoraResult, 'total' | 'tensors' | 'left'> {
  readonly formula: string;
  readonly base: ManifestInput;
  readonly finetuned: ManifestInput;
}

/** Views are at most 4 GiB, and a factor may be larger. */
function* inPieces(arena: HostBuffer, at: number, bytes: number): Generator<Uint8Array> {
  for (let done = 0; done < bytes; done += copyBytes) {
    yield arena.bytes(at + done, Math.min(copyBytes, bytes - done));
  }
}
