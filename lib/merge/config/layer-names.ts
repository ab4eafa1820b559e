import type { Config } from '../../checkpoint/checkpoint.js';
import { textLayerCounts } from './layer-counts.js';

/** A tensor of a layer: `model.layers` `.3` `.mlp.up_proj.weight`. */
export interface LayerName {
  readonly stack: string;
  readonly index: number;
  readonly rest: string;
}

/** Names under which models keep their list of layers. */
const containers =
  /^(layers|layer|h|blocks|block|resblocks|transformer_blocks|encoder_layers|decoder_layers)$/;

/** The layer that a tensor belongs to: the first number in its name that follows a container of layers. */
export function splitLayer(name: string): LayerName | undefined {
  const parts = name.split('.');
  for (let i = 1; i < parts.length; i++) {
    if (!/^\d{1,6}$/.test(parts[i]!) || !containers.test(parts[i - 1]!)) continue;
    const rest = parts.slice(i + 1).map((part) => `.${part}`);
    return { stack: parts.slice(0, i).join('.'), index: Number(parts[i]), rest: rest.join('') };
  }
  return undefined;
}

export function layerTensor(stack: string, index: number, rest: string): string {
  return `${stack}.${index}${rest}`;
}

/** Stacks of layers by name, each with its number of layers: one more than the highest index. */
export function countLayers(names: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) {
    const layer = splitLayer(name);
    if (layer) counts.set(layer.stack, Math.max(counts.get(layer.stack) ?? 0, layer.index + 1));
  }
  return counts;
}

/**
 * The stack that layer ranges are about: the only one, or of several the one whose length the configuration
 * states, or the one with most elements.
 */
export function mainStack(
  tensors: Iterable<{ readonly name: string; readonly shape: readonly number[] }>,
  config: Config | undefined,
): { stack: string; count: number } | undefined {
  const all = [...tensors];
  const counts = countLayers(all.map(({ name }) => name));
  const elements = new Map<string, number>();
  for (const { name, shape } of all) {
    const stack = splitLayer(name)?.stack;
    if (stack === undefined) continue;
    elements.set(stack, (elements.get(stack) ?? 0) + shape.reduce((product, dim) => product * dim, 1));
  }
  const rank = (stack: string): number =>
    textLayerCounts(config, stack).some(({ value }) => value === counts.get(stack)) ? 1 : 0;
  const [best] = [...counts.keys()].sort((a, b) => rank(b) - rank(a) || elements.get(b)! - elements.get(a)!);
  return best === undefined ? undefined : { stack: best, count: counts.get(best)! };
}

/**
 * The module that holds a stack and not `stack`, by the names of the two: `model.vision_tower` of
 * model.vision_tower.encoder.layers beside model.language_model.layers.
 */
export function moduleBeside(stack: string, other: string): string {
  const own = stack.split('.');
  const parts = other.split('.');
  const split = parts.findIndex((part, i) => part !== own[i]);
  return parts.slice(0, split + 1).join('.');
}

/** Modules at the end of a model, with all that they hold. */
const heads =
  /^(lm_head|embed_out|head|heads|classifier|score|scores|qa_outputs|pooler|cls|output_layer|norm_out|proj_out|vocab_(transform|layer_norm|projector)|(discriminator|generator)_(predictions|lm_head))$/;
/** Modules and parameters at the end of a model by their own name alone: others hold modules of these names too. */
const lasts =
  /^(output|norm|norm_f|norm_out|ln_f|ln_final|ln_post|post_layernorm|fc_norm|final_\w+|layernorm|logit_scale|logit_bias|\w+_projection|text_proj|proj|out_proj)$/;
/** What is between a tower and the model of text, however its last part is called. */
const connectors = /^(connector|aligner|merger|language_projection|\w*projector)$/;
const parameters = /^(weight|bias|gamma|beta|scale|running_mean|running_var|num_batches_tracked)$/;

/** What comes after the layers: heads, final norms, poolers. Everything else outside layers comes before. */
export function followsLayers(name: string): boolean {
  const parts = name.split('.');
  // Projections and norms of embeddings come first, whatever they are called.
  const first = (part: string): boolean => part.includes('embed') || connectors.test(part);
  if (parts.some((part) => first(part) && !heads.test(part))) return false;
  const modules = parts.length > 1 && parameters.test(parts.at(-1)!) ? parts.slice(0, -1) : parts;
  const last = modules.at(-1)!;
  // Whisper's and XGLM's, where projections of features have one of this name before the layers.
  if (last === 'layer_norm' && /^(encoder|decoder|model|biogpt)$/.test(modules.at(-2) ?? '')) return true;
  return lasts.test(last) || parts.some((part) => heads.test(part));
}
