import { WisemergeError } from '../errors.js';
import { bosToken } from '../eval/text/bos-token.js';
import type { TextTokenizer } from '../eval/text/tokenizer.js';
import { formatModelReference } from '../merge/config/model-reference.js';
import type { ExpertConfig } from './config.js';
import { Embeddings, HiddenStates, type PromptVectors, type RunningOptions } from './prompt-vectors.js';
import type { ResolvedMoe } from './resolve.js';

/** The vector of each layer's router that stands for an expert: [layer][hidden]. */
export type GateVectors = readonly Float64Array[];

/** Vectors shorter than this come from prompts that cancel out. */
const shortest = 1e-8;

/**
 * Vectors of the routers from prompts, each begun with the tokenizer's first token: the mean over an expert's positive prompts
 * less that over its negative ones, of length 1. `hidden`: of what the base model's layers begin with at the last token,
 * `hidden_avg`: on the average of the tokens; `cheap_embed`: of the sums of embeddings, those of both sides being of length 1
 * before they are subtracted, as they grow with the prompts. An expert without prompts has zeros.
 *
 * Throws ERR_DATA for prompts that cancel out or have no tokens, and as `NetworkModel`.
 */
export async function promptGates(
  resolved: ResolvedMoe,
  tokenizer: TextTokenizer,
  options: RunningOptions & { readonly onPrompt?: () => void },
): Promise<GateVectors[]> {
  const { base, config } = resolved;
  const { onPrompt, ...running } = options;
  const bos = await bosToken(base, tokenizer);
  await using vectors = await openVectors(resolved, running);
  const gates: GateVectors[] = [];
  for (const expert of [...config.experts, ...config.shared]) {
    const side = async (prompts: readonly string[]): Promise<Float64Array[]> => {
      const sums = Array.from({ length: resolved.layers }, () => new Float64Array(resolved.hidden));
      for (const prompt of prompts) {
        options.signal?.throwIfAborted();
        const ids = Int32Array.from(tokenizer.encodeBehind(bos, prompt));
        if (ids.length === 0) throw unusable(expert, `the prompt ${JSON.stringify(prompt)} has no tokens`);
        const own = await vectors.of(ids);
        for (const [l, sum] of sums.entries()) {
          for (let j = 0; j < sum.length; j++) sum[j]! += own[l]![j]! / prompts.length;
        }
        onPrompt?.();
      }
      return config.gateMode === 'cheap_embed' ? sums.map((sum) => scaled(sum, lengthOf(sum))) : sums;
    };
    const [positive, negative] = [await side(expert.positive), await side(expert.negative)];
    gates.push(positive.map((vector, l) => direction(vector, negative[l]!, expert, l)));
  }
  return gates;
}

async function openVectors(resolved: ResolvedMoe, running: RunningOptions): Promise<PromptVectors> {
  const { gateMode } = resolved.config;
  if (gateMode === 'cheap_embed') return new Embeddings(resolved);
  return await HiddenStates.open(resolved, gateMode === 'hidden_avg' ? 'mean' : 'last', running);
}

function direction(
  positive: Float64Array,
  negative: Float64Array,
  expert: ExpertConfig,
  layer: number,
): Float64Array {
  if (expert.positive.length === 0) return positive;
  const vector = positive.map((value, j) => value - negative[j]!);
  const length = lengthOf(vector);
  if (!(length > shortest)) {
    const why = Number.isNaN(length) ? 'are not numbers' : 'cancel out';
    throw unusable(expert, `the hidden states of its prompts ${why} in layer ${layer}`);
  }
  return scaled(vector, length);
}

function lengthOf(vector: Float64Array): number {
  return Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
}

/** A vector of that length, of length 1; zeros stay. */
function scaled(vector: Float64Array, length: number): Float64Array {
  return length === 0 ? vector : vector.map((value) => value / length);
}

function unusable({ model, place }: ExpertConfig, why: string): WisemergeError {
  return new WisemergeError(
    'ERR_DATA',
    `expert ${formatModelReference(model)} in line ${place.line}: ${why}`,
    { file: model.model.path, hint: 'Give other prompts, or gate_mode random.' },
  );
}
