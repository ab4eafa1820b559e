/** What models gain and lose between a bare body and one with a head, and what wrappers put before it. */
const prefixes = [
  ...['model.', 'transformer.', 'base_model.', 'bert.', 'roberta.', 'distilbert.', 'electra.', 'albert.'],
  ...['deberta.', 'vit.', 'gpt_neox.', 'module.', '_orig_mod.', 'base_model.model.'],
];
/**
 * Places of one part of a model that sees and reads. transformers from 4.52 on has the text tower at
 * `model.language_model.`, files on the Hub have it where earlier versions did: `language_model.model.` (Gemma 3,
 * LLaVA), `model.` (Qwen2-VL). Towers of images are known by the prefix `model.` alone.
 */
const places = [
  ['model.language_model.', 'language_model.model.', 'model.'],
  ['lm_head.', 'language_model.lm_head.'],
];
/** Weights and biases of norms as TensorFlow calls them, in checkpoints converted from there. */
const norms = [
  ['LayerNorm.gamma', 'LayerNorm.weight'],
  ['LayerNorm.beta', 'LayerNorm.bias'],
];

/** Other names that a tensor may have in another save of its model: each once, the likeliest first, without `name`. */
export function equivalentNames(name: string): string[] {
  const spelled = [name, ...norms.flatMap((group) => swapped(name, group, 'end'))];
  const found = spelled.flatMap((one) => [
    one,
    ...prefixes.flatMap((prefix) => [
      prefix + one,
      ...(one.startsWith(prefix) ? [one.slice(prefix.length)] : []),
    ]),
    ...places.flatMap((group) => swapped(one, group, 'start')),
  ]);
  return [...new Set(found)].filter((other) => other !== name);
}

/** A name with one of a group's parts at an end of it replaced by each of the others. */
function swapped(name: string, group: readonly string[], end: 'start' | 'end'): string[] {
  return group.flatMap((part) => {
    if (end === 'start' ? !name.startsWith(part) : !name.endsWith(part)) return [];
    const others = group.filter((other) => other !== part);
    return others.map((other) =>
      end === 'start' ? other + name.slice(part.length) : name.slice(0, -part.length) + other,
    );
  });
}
