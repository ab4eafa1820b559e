import { isOutputHead } from '../vocabulary-tensors.js';

/** Parts of a model under the names that architectures and configurations give them. */
const text = ['text_decoder', 'language_model', 'text_model', 'llm', 'lm', 'decoder'];
const others: readonly (readonly string[])[] = [
  ['vision_tower', 'vision_model', 'visual', 'vision_encoder', 'image_encoder', 'encoder'],
  ['multi_modal_projector', 'projector', 'mm_projector', 'connector', 'aligner', 'merger'],
  ['audio_tower', 'audio_encoder', 'audio_model', 'speech_encoder'],
];

/** Modules to which the output head of the whole model belongs. */
const decoders = ['text_decoder', 'language_model'];

/**
 * Whether a tensor belongs to a module: one part of its name is the module's name, or a synonym of it if no
 * tensor of the model has the name itself. `default` is all of a model; a `text_decoder` that no name tells of is what is
 * left of it without its other parts, as where names are `model.…` and `visual.…`.
 */
export function moduleMatcher(
  module: string,
  tensors: Iterable<string>,
): ((tensor: string) => boolean) | undefined {
  if (module === 'default') return () => true;
  const names = [...tensors];
  const parts = new Set(names.flatMap((name) => name.split('.')));
  const has = (word: string): ((name: string) => boolean) => {
    const within = (name: string) => name.split('.').includes(word);
    // Newer names have the head beside the model of text, not in it.
    const bare = decoders.includes(module) && !names.some((name) => isOutputHead(name) && within(name));
    return bare ? (name) => within(name) || isOutputHead(name) : within;
  };
  if (parts.has(module)) return has(module);
  const synonyms = [text, ...others].find((group) => group.includes(module)) ?? [];
  const present = synonyms.find((word) => parts.has(word));
  if (present !== undefined) return has(present);
  if (module !== 'text_decoder') return undefined;
  const elsewhere = new Set(others.flat());
  const isText = (name: string) => !name.split('.').some((part) => elsewhere.has(part));
  return names.some(isText) ? isText : undefined;
}

/** The module that each tensor belongs to: of several, the smallest, such as a projector within a vision tower. */
export function moduleOwners<M extends { readonly name?: string }>(
  modules: readonly M[],
  names: ReadonlySet<string>,
): Map<string, M> {
  const members = modules.map((module) => {
    const belongs = module.name === undefined ? () => true : moduleMatcher(module.name, names);
    return { module, names: belongs ? [...names].filter(belongs) : [] };
  });
  const owners = new Map<string, M>();
  for (const { module, names: own } of members.sort((a, b) => a.names.length - b.names.length)) {
    for (const name of own) if (!owners.has(name)) owners.set(name, module);
  }
  return owners;
}
