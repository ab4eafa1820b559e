import { failOption } from '../../call-options.js';
import type { Checkpoint } from '../../checkpoint/checkpoint.js';
import { formatShape } from '../../checkpoint/tensor.js';
import type { TensorPair } from '../compatibility.js';
import { partOf, textPart } from '../config/layer-counts.js';
import { nearest } from '../config/suggest.js';
import { statedTie } from '../tied.js';

/** A weight that gets a low-rank factor pair. */
export interface LoraTarget {
  readonly pair: TensorPair;
  /** Its name without `.weight`, as PEFT names what it wraps. */
  readonly module: string;
  /** Stored [in, out] (Conv1D) or [tokens, dimension] (embeddings): the product is (B A)^T. */
  readonly transposed: boolean;
  readonly embedding: boolean;
}

/** Why a tensor gets none. */
export type LeftReason = 'embedding' | 'output head' | 'not a matrix' | 'not chosen';

export interface LeftTensor {
  readonly pair: TensorPair;
  readonly why: LeftReason;
}

export interface LoraTargets {
  readonly targets: readonly LoraTarget[];
  readonly left: readonly LeftTensor[];
  readonly warnings: readonly string[];
}

/** Last words of modules that look rows up, and of those that a model ends with. */
const embeddings = /(^|\.)(\w*embed(ding)?s?|embed_\w+|embed_in|wte|wpe|shared|\w*relative_attention_bias)$/;
const heads = /(^|\.)(lm_head|embed_out|score|classifier|qa_outputs|head)$|^output$/;
/** Of `config.json`: models whose layers are Conv1D, [in, out]. */
const conv1d = new Set(['gpt2', 'openai-gpt', 'imagegpt', 'decision_transformer']);

/** Whether a model's linear layers are stored [in, out]. */
export function storesTransposed({ config }: Checkpoint): boolean {
  return typeof config?.model_type === 'string' && conv1d.has(config.model_type);
}

/**
 * Chooses the weights to adapt: all matrices but embeddings and output heads, as PEFT's `all-linear`, or those of
 * `modules`, which are names of modules or their ends after a dot. Throws ERR_USAGE for a name that is none.
 */
export function chooseTargets(
  base: Checkpoint,
  pairs: readonly TensorPair[],
  modules: readonly string[] | undefined,
  transposed: boolean,
): LoraTargets {
  const targets: LoraTarget[] = [];
  const left: LeftTensor[] = [];
  const matrices = new Map(
    pairs.flatMap((pair) => {
      const { name, shape } = pair.x;
      const plain = pair.action === 'lerp' && pair.x.dtype !== 'C64' && shape.length === 2;
      return plain && name.endsWith('.weight') && pair.x.count > 0
        ? [[name.slice(0, -'.weight'.length), pair] as const]
        : [];
    }),
  );
  checkNames(modules, [...matrices.keys()]);
  const chosen = (module: string): boolean =>
    modules ? matches(modules, module) : !embeddings.test(module) && !heads.test(module);
  for (const pair of pairs) {
    if (pair.action !== 'lerp') continue;
    const module = pair.x.name.replace(/\.[^.]+$/, '');
    const matrix = matrices.get(module);
    if (matrix === pair && chosen(module)) {
      const embedding = embeddings.test(module) && !heads.test(module);
      targets.push({
        pair,
        module,
        embedding,
        // A head of a model of Conv1D layers is a Linear.
        transposed: embedding || (transposed && !heads.test(module)),
      });
    } else left.push({ pair, why: reasonOf(module, matrix !== undefined, pair, chosen(module)) });
  }
  return { targets, left, warnings: tiedWarnings(base, targets) };
}

function reasonOf(module: string, matrix: boolean, { x }: TensorPair, chosen: boolean): LeftReason {
  if (heads.test(module)) return 'output head';
  if (embeddings.test(module)) return 'embedding';
  // What belongs to a layer that was left out on purpose is left out with it.
  return matrix && !chosen && x.shape.length <= 2 ? 'not chosen' : 'not a matrix';
}

const matches = (names: readonly string[], module: string): boolean =>
  names.some((name) => module === name || module.endsWith(`.${name}`));

function checkNames(modules: readonly string[] | undefined, known: readonly string[]): void {
  if (modules?.length === 0) failOption('modules', 'is an empty list');
  for (const name of modules ?? []) {
    if (known.some((module) => matches([name], module))) continue;
    const ends = new Set(known.map((module) => module.split('.').at(-1)!));
    const near = nearest(name, ends);
    failOption(
      'modules',
      `no module with a matrix is named "${name}"; ${near ? `did you mean "${near}"?` : `there are ${[...ends].join(', ')}`}`,
    );
  }
}

function tiedWarnings(base: Checkpoint, targets: readonly LoraTarget[]): string[] {
  if (!statedTie(base.config)?.tied) return [];
  const { vocab_size: rows } = partOf(base.config, textPart(base.config)) ?? {};
  return targets
    .filter(({ embedding, pair }) => embedding && pair.x.shape[0] === rows)
    .map(
      ({ pair: { x } }) =>
        `"${x.name}" ${formatShape(x.shape)} is also the output head: PEFT adapts the embedding alone, wisemerge merges both`,
    );
}
