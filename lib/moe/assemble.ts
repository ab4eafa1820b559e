import { join } from 'node:path';
import { beginCall } from '../call-options.js';
import { finishOutput } from '../checkpoint/finish-output.js';
import { checkSpace } from '../checkpoint/free-space.js';
import { describeInput, type MoeManifest } from '../checkpoint/manifest.js';
import { renderMoeCard } from '../checkpoint/model-card.js';
import type { WrittenFile } from '../checkpoint/output-writer.js';
import { type ProgressListener, ProgressMeter } from '../checkpoint/progress.js';
import { publishedOptions } from '../checkpoint/published-paths.js';
import { readSafetensorsFile } from '../checkpoint/safetensors-file.js';
import { copySidecars } from '../checkpoint/sidecars.js';
import { elementCount } from '../checkpoint/tensor.js';
import { OutputTransaction } from '../checkpoint/transaction.js';
import type { WeightFile } from '../checkpoint/weight-file.js';
import { writeSafetensors } from '../checkpoint/write-safetensors.js';
import { removeFile } from '../files/remove.js';
import type { NativeCall } from '../merge/many/native-call.js';
import { type StreamedFiles, streamTensors } from '../merge/many/tensor-stream.js';
import type { TensorWork } from '../merge/many/work.js';
import { Engine, engineOptions } from '../native.js';
import { version } from '../version.js';
import type { GateMode } from './config.js';
import { degenerateGates } from './degenerate.js';
import { type GateVectors, promptGates } from './gates.js';
import { formatMoeCommand, type MoeOptions } from './options.js';
import { type MoePlan, type PreparedMoe, prepareMoe, sourceOf } from './plan.js';
import type { MoeTensor } from './resolve.js';

export interface MoeRunOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: ProgressListener;
  /** Called before any tensor data is read. */
  readonly onPlan?: (plan: MoePlan) => void;
  /** While routers are made from prompts. */
  readonly onPrompt?: (done: number, total: number) => void;
}

/** JSON-serialisable. */
export interface MoeResult {
  readonly directory: string;
  readonly architecture: string;
  readonly files: readonly WrittenFile[];
  readonly parameters: MoePlan['parameters'];
  /** Tensors with NaN or infinite elements in the output, with their number. */
  readonly nonFinite: Readonly<Record<string, number>>;
  readonly bytesWritten: number;
  readonly seconds: number;
  readonly warnings: readonly string[];
}

/** Routers before they are written, in the output's directory for the time of the run. */
const routersName = 'routers.tmp.safetensors';

/**
 * Assembles a mixture of experts from dense models (sparse upcycling: Komatsuzaki et al., 2023): attention, norms and embeddings of
 * a base, the MLPs of the experts, and a router for each layer. Tensors are streamed in bounded memory; the output directory
 * appears when it is complete.
 *
 * Rejects with WisemergeError: ERR_MERGE_FILE and ERR_INCOMPATIBLE (all problems in `details.problems`), ERR_ADAPTER,
 * ERR_CONFIG, ERR_USAGE, ERR_OUTPUT_*, ERR_NO_SPACE, ERR_MEMORY before any work; ERR_DATA (prompts), ERR_INPUT_CHANGED,
 * ERR_IO; or with the abort reason.
 */
export async function assembleMoe(options: MoeOptions & MoeRunOptions): Promise<MoeResult> {
  using _call = beginCall(options);
  const { signal, onProgress, onPlan, onPrompt, ...given } = options;
  const began = performance.now();
  const prepared = await prepareMoe(given, signal);
  const { plan } = prepared;
  checkSpace(given.out, plan.disk);
  onPlan?.(plan);
  const transaction = await OutputTransaction.begin(
    given.out,
    { kind: 'moe', force: given.force ?? false },
    signal,
  );
  try {
    const run = new Assembly(prepared, given, signal);
    const gates = await run.gates(onPrompt);
    const streamed = await run.stream(transaction.directory, gates, new ProgressMeter(onProgress));
    await run.writeCompanions(transaction.directory, streamed);
    signal?.throwIfAborted();
    await transaction.commit();
    return {
      directory: transaction.target,
      architecture: plan.architecture,
      files: streamed.files,
      parameters: plan.parameters,
      nonFinite: Object.fromEntries(streamed.nonFinite),
      bytesWritten: streamed.files.reduce((sum, { bytes }) => sum + bytes, 0),
      seconds: (performance.now() - began) / 1000,
      warnings: [...plan.warnings, ...run.gateWarnings(gates), ...streamed.warnings, ...transaction.notes],
    };
  } finally {
    await transaction.rollback();
  }
}

class Assembly {
  readonly #prepared: PreparedMoe;
  readonly #options: MoeOptions;
  readonly #signal: AbortSignal | undefined;

  constructor(prepared: PreparedMoe, options: MoeOptions, signal: AbortSignal | undefined) {
    this.#prepared = prepared;
    this.#options = options;
    this.#signal = signal;
  }

  /** Of prompts; none where routers are random. */
  async gates(onPrompt: MoeRunOptions['onPrompt']): Promise<GateVectors[] | undefined> {
    const { resolved, tokenizer, plan } = this.#prepared;
    if (!tokenizer) return undefined;
    const { threads, device } = this.#options;
    let done = 0;
    return await promptGates(resolved, tokenizer, {
      ...(threads !== undefined && { threads }),
      ...(device !== undefined && { device }),
      ...(this.#signal && { signal: this.#signal }),
      onPrompt: () => onPrompt?.(++done, plan.prompts),
    });
  }

  /** Of the routers; that of a shared expert chooses from nothing. */
  gateWarnings(gates: readonly GateVectors[] | undefined): string[] {
    const { config } = this.#prepared.resolved;
    const found = gates && degenerateGates(gates.slice(0, config.experts.length));
    return found === undefined ? [] : [`gate_mode ${config.gateMode}: ${found}`];
  }

  async stream(
    directory: string,
    gates: GateVectors[] | undefined,
    progress: ProgressMeter,
  ): Promise<StreamedFiles> {
    const { resolved, layout, chunks } = this.#prepared;
    const routers = await this.#writeRouters(directory, gates);
    const work = new Map(resolved.tensors.map((tensor) => [tensor.name, this.#work(tensor, routers)]));
    const read = [...work.values()].flatMap(({ sources }) => sources.map(({ tensor }) => tensor.bytes));
    progress.start('stream', read.reduce((sum, bytes) => sum + bytes, 0) + layout.bytes);
    using engine = new Engine(engineOptions('cpu', this.#options.threads));
    const streamed = await streamTensors(work, layout, directory, {
      models: [...resolved.models.values(), { files: [routers] }],
      engine,
      chunks,
      seed: this.#options.seed ?? 0,
      progress,
      ...(this.#signal && { signal: this.#signal }),
    });
    await removeFile(routers.path);
    progress.start('finish', 0);
    return streamed;
  }

  /** In f32; zeros where they are to be drawn. */
  async #writeRouters(directory: string, gates: GateVectors[] | undefined): Promise<WeightFile> {
    const { tensors, config, hidden } = this.#prepared.resolved;
    const routed = config.experts.length;
    const stored = tensors.flatMap(({ name, shape, from }) => {
      if (from.kind !== 'router') return [];
      const rows = from.shared ? gates?.slice(routed) : gates?.slice(0, routed);
      const data = new Float32Array(elementCount(shape));
      for (const [e, vectors] of (rows ?? []).entries()) data.set(vectors[from.layer]!, e * hidden);
      return [{ name, dtype: 'F32' as const, shape, data: new Uint8Array(data.buffer) }];
    });
    const path = join(directory, routersName);
    await writeSafetensors(path, stored);
    return await readSafetensorsFile(path, this.#signal);
  }

  #work(tensor: MoeTensor, routers: WeightFile): TensorWork {
    const { resolved } = this.#prepared;
    const { name, from, shape } = tensor;
    const count = elementCount(shape);
    const source = sourceOf(resolved, tensor);
    if (from.kind === 'router') {
      const stored = routers.tensors.find((one) => one.name === name)!;
      const call = drawn(resolved.config.gateMode, resolved.hidden);
      return { name, call, count, sources: [{ tensor: stored }] };
    }
    const call = from.kind === 'expert' ? expertCall(from.scale, from.expert.noise) : copy;
    return { name, call, count, sources: [source!] };
  }

  /** Everything of an output but its weights; the manifest last. */
  async writeCompanions(directory: string, { files, nonFinite }: StreamedFiles): Promise<void> {
    const { resolved, layout, plan } = this.#prepared;
    const { base, config, models } = resolved;
    await copySidecars(
      base,
      plan.sidecars,
      directory,
      config.dtype,
      new Map([['config.json', plan.configChanges]]),
    );
    const command = formatMoeCommand(this.#options);
    const checkpoints = [...models.values()].map(({ checkpoint }) => checkpoint);
    const { experts, shared, expertsPerToken, gateMode } = plan;
    const published = formatMoeCommand(publishedOptions(this.#options));
    const facts = { donor: base, models: checkpoints, command: published, version };
    const card = await renderMoeCard({ ...facts, experts, shared, expertsPerToken, gateMode });
    const texts = (this.#options.modelCard ?? true) ? { 'README.md': card } : {};
    await finishOutput<MoeManifest>(directory, layout, texts, {
      method: 'moe',
      architecture: plan.architecture,
      gateMode,
      dtype: config.dtype ?? null,
      device: 'cpu',
      command,
      seed: this.#options.seed ?? 0,
      models: checkpoints.map((one) => describeInput(one.path, one)),
      parameters: layout.parameters,
      files,
      nonFinite: Object.fromEntries(nonFinite),
    });
  }
}

const copy: NativeCall = { method: 'copy', row: 1, parameters: [], inputs: [{ of: 0, parameters: [] }] };
const noise = (scale: number, deviation: number, uniform: boolean): NativeCall => ({
  method: 'noise',
  row: 1,
  parameters: [scale, deviation, Number(uniform)],
  inputs: [{ of: 0, parameters: [] }],
});

/** Routers of prompts are there; random ones are standard normal, or uniform as a linear layer begins (He et al., 2015). */
function drawn(mode: GateMode, hidden: number): NativeCall {
  if (mode === 'random') return noise(1, 1, false);
  return mode === 'uniform_random' ? noise(1, 1 / Math.sqrt(hidden), true) : copy;
}

function expertCall(scale: number, deviation: number): NativeCall {
  return scale === 1 && deviation === 0 ? copy : noise(scale, deviation, false);
}
