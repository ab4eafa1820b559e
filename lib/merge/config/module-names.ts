/** Parts of a model under the names that architectures and configurations give them. */
const synonyms: readonly (readonly string[])[] = [
  ['text_decoder', 'language_model', 'text_model', 'llm', 'lm', 'decoder'],
  ['vision_tower', 'vision_model', 'visual', 'vision_encoder', 'image_encoder', 'encoder'],
  ['multi_modal_projector', 'projector', 'mm_projector', 'connector', 'aligner'],
  ['audio_tower', 'audio_encoder', 'audio_model', 'speech_encoder'],
];

/**
 * Whether a tensor belongs to a module: one part of its name is the module's name, or a synonym of it if no
 * tensor of the model has the name itself.
 */
export function moduleMatcher(
  module: string,
  tensors: Iterable<string>,
): ((tensor: string) => boolean) | undefined {
  const parts = new Set([...tensors].flatMap((name) => name.split('.')));
  const has = (word: string) => (name: string) => name.split('.').includes(word);
  if (parts.has(module)) return has(module);
  const others = synonyms.find((group) => group.includes(module)) ?? [];
  const present = others.find((word) => parts.has(word));
  return present === undefined ? undefined : has(present);
}
