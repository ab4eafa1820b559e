import type { Config } from '../../checkpoint/checkpoint.js';

/** A statement of a number of layers in a configuration, by dotted path. */
export interface StatedCount {
  readonly path: string;
  readonly value: number;
}

/** Parts of a model beside its text, by words in the names of their stacks, and where configurations describe them. */
const towers: readonly (readonly [word: RegExp, part: string])[] = [
  [/^(vision_\w+|visual|image_encoder)$/, 'vision_config.'],
  [/^(audio_\w+|speech_\w+)$/, 'audio_config.'],
  [/^qformer$/, 'qformer_config.'],
];
const textParts = ['text_config.', 'llm_config.', 'language_config.', ''];

/** The part of a configuration that describes a model of text, as a prefix of paths; '' where all of it does. */
export function textPart(config: Config | undefined): string {
  return textParts.find((part) => part !== '' && partOf(config, part)) ?? '';
}

const anyKeys = ['num_hidden_layers', 'n_layer', 'n_layers', 'num_layers', 'depth'];
const encoderKeys = ['encoder_layers', 'num_encoder_layers'];
const decoderKeys = ['decoder_layers', 'num_decoder_layers', 'decoder_num_hidden_layers'];

/** The number of layers wherever a configuration, or its part for the text of a stack's model, states one of no particular stack. */
export function textLayerCounts(config: Config | undefined, stack: string): StatedCount[] {
  const root = rootOf(config, stack);
  return textParts.flatMap((part) => read(config, root + part, anyKeys));
}

/** Parts of a configuration, as prefixes of paths, that describe a stack of layers, of all `stacks` of the model. */
export function stackParts(config: Config | undefined, stack: string, stacks: Iterable<string>): string[] {
  const root = rootOf(config, stack);
  const own = towerOf(stack);
  if (own === undefined) return textParts.map((part) => root + part).filter((part) => partOf(config, part));
  if (partOf(config, root + own)) return [root + own];
  // The configuration of a tower alone describes it itself.
  const alone = beside(config, stack, stacks).every((other) => towerOf(other) === own);
  return alone && partOf(config, root) ? [root] : [];
}

/** Where a configuration states the number of layers of one stack: equal numbers of others are none of its. */
export function stackLayerCounts(
  config: Config | undefined,
  stack: string,
  stacks: Iterable<string>,
): StatedCount[] {
  const all = beside(config, stack, stacks);
  const parts = stackParts(config, stack, all);
  const readAll = (keys: readonly string[]): StatedCount[] =>
    parts.flatMap((part) => read(config, part, keys));
  if (sideOf(stack) !== 'decoder') return readAll([...anyKeys, ...encoderKeys]);
  const own = readAll(decoderKeys);
  const encoder = all.some((other) => sideOf(other) === 'encoder' && towerOf(other) === towerOf(stack));
  // Beside an encoder, keys of no particular stack are the encoder's (T5, BART).
  return own.length > 0 || encoder ? own : readAll(anyKeys);
}

/**
 * What must be stated of T5's decoder where `num_decoder_layers` is not: it has as many layers as `num_layers` says, which is
 * the encoder's number once one of the two has changed.
 */
export function unstatedDecoder(
  config: Config | undefined,
  changed: string,
  layers: number,
  counts: ReadonlyMap<string, number>,
): Record<string, number> {
  const stacks = beside(config, changed, counts.keys());
  const decoder = stacks.find((stack) => sideOf(stack) === 'decoder');
  const side = sideOf(changed);
  if (!decoder || !side || towerOf(decoder) !== towerOf(changed)) return {};
  if (!stacks.some((stack) => sideOf(stack) === 'encoder')) return {};
  const [part] = stackParts(config, decoder, stacks).filter(
    (one) => read(config, one, ['num_layers']).length > 0 && read(config, one, decoderKeys).length === 0,
  );
  if (part === undefined) return {};
  return { [`${part}num_decoder_layers`]: side === 'decoder' ? layers : counts.get(decoder)! };
}

/** The part of a configuration at a prefix of paths: `thinker_config.text_config.`, or '' for all of it. */
export function partOf(config: Config | undefined, prefix: string): Config | undefined {
  let part: unknown = config;
  for (const key of prefix.split('.').slice(0, -1)) {
    part = typeof part === 'object' && part !== null ? (part as Config)[key] : undefined;
  }
  return typeof part === 'object' && part !== null ? (part as Config) : undefined;
}

/** Whether an output head stands behind a stack, of all `stacks`: not behind a tower's, or an encoder's beside a decoder. */
export function endsInHead(stack: string, stacks: Iterable<string>): boolean {
  const all = [...stacks];
  const texts = all.filter((other) => towerOf(other) === undefined);
  if (towerOf(stack) !== undefined) return texts.length === 0;
  return sideOf(stack) !== 'encoder' || !texts.some((other) => sideOf(other) === 'decoder');
}

/**
 * The configuration of the model that a stack is in, where it is one of several: `thinker_config.` of thinker.model.layers,
 * `decoder.` of decoder.model.layers.
 */
function rootOf(config: Config | undefined, stack: string): string {
  for (const word of stack.split('.')) {
    const part = [`${word}_config.`, `${word}.`].find((prefix) => partOf(config, prefix));
    if (part && towerOf(stack) !== part && !textParts.includes(part)) return part;
  }
  return '';
}

/** Those stacks that are in the same model as `stack`. */
function beside(config: Config | undefined, stack: string, stacks: Iterable<string>): string[] {
  const root = rootOf(config, stack);
  return [...stacks].filter((other) => rootOf(config, other) === root);
}

function read(config: Config | undefined, part: string, keys: readonly string[]): StatedCount[] {
  return keys.flatMap((key) => {
    const value = partOf(config, part)?.[key];
    return typeof value === 'number' ? [{ path: part + key, value }] : [];
  });
}

/** The part of a configuration for a tower; undefined for text. */
function towerOf(stack: string): string | undefined {
  const words = stack.split('.');
  return towers.find(([word]) => words.some((one) => word.test(one)))?.[1];
}

function sideOf(stack: string): 'encoder' | 'decoder' | undefined {
  return stack
    .split('.')
    .map((word) => /^(?:wrapped_)?(encoder|decoder)(?:_layers)?$/.exec(word)?.[1] as 'encoder' | 'decoder')
    .find((side) => side);
}
