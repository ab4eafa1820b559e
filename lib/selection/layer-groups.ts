/** Tensors that share an alpha. */
export interface LayerGroup {
  /** For people: `embeddings`, `vit.encoder.layer 3`, `vit.encoder.layer 4-7`, `head`. */
  readonly name: string;
  readonly tensors: readonly string[];
}

/** Where a tensor's name puts it: the first whole number is its layer, as in `model.layers.3.mlp.up_proj.weight`. */
export function layerOf(
  name: string,
): { readonly stack: string; readonly layer: number; readonly inside: readonly string[] } | undefined {
  const parts = name.split('.');
  const at = parts.findIndex((part) => /^\d+$/.test(part));
  if (at < 1 || at === parts.length - 1) return undefined;
  return { stack: parts.slice(0, at).join('.'), layer: Number(parts[at]), inside: parts.slice(at + 1) };
}

/**
 * Groups tensors, given in the order in which a network uses them, by depth: what stands before the layers of a stack,
 * each layer (or `blocks` runs of neighbouring layers of about one size), and what stands behind them. Between two
 * stacks (the towers of CLIP) a tensor belongs to the second where its name begins like those of the second alone.
 */
export function groupByDepth(tensors: readonly string[], blocks?: number): LayerGroup[] {
  const stacks = [...new Set(tensors.flatMap((name) => layerOf(name)?.stack ?? []))];
  const before = new Map(stacks.map((stack) => [stack, [] as string[]]));
  const behind = new Map(stacks.map((stack) => [stack, [] as string[]]));
  const layers = new Map(stacks.map((stack) => [stack, new Map<number, string[]>()]));
  let at = -1;
  for (const name of tensors) {
    const place = layerOf(name);
    if (place) {
      const { stack, layer } = place;
      at = Math.max(at, stacks.indexOf(stack));
      const inside = layers.get(stack)!;
      inside.set(layer, [...(inside.get(layer) ?? []), name]);
      continue;
    }
    const [last, next] = [stacks[at], stacks[at + 1]];
    const belongsTo = (stack: string | undefined) => stack?.split('.')[0] === name.split('.')[0];
    const opens = next !== undefined && (last === undefined || (belongsTo(next) && !belongsTo(last)));
    if (opens) before.get(next)!.push(name);
    else if (last !== undefined) behind.get(last)!.push(name);
  }
  // Without layers there is one group: nothing tells its tensors' depths.
  if (stacks.length === 0) return tensors.length > 0 ? [{ name: 'all', tensors }] : [];
  const called = (stack: string, part: string) => (stacks.length > 1 ? `${stack} ${part}` : part);
  const groups = stacks.flatMap((stack) => [
    { name: called(stack, 'embeddings'), tensors: before.get(stack)! },
    ...runsOf(stack, layers.get(stack)!, blocks),
    { name: called(stack, 'head'), tensors: behind.get(stack)! },
  ]);
  return groups.filter((group) => group.tensors.length > 0);
}

function runsOf(
  stack: string,
  layers: ReadonlyMap<number, readonly string[]>,
  blocks = layers.size,
): LayerGroup[] {
  const numbers = [...layers.keys()].sort((a, b) => a - b);
  const count = Math.min(blocks, numbers.length);
  return Array.from({ length: count }, (_, g) => {
    const some = numbers.slice(
      Math.floor((g * numbers.length) / count),
      Math.floor(((g + 1) * numbers.length) / count),
    );
    const range = some.length === 1 ? String(some[0]) : `${some[0]}-${some.at(-1)}`;
    return { name: `${stack} ${range}`, tensors: some.flatMap((layer) => layers.get(layer)!) };
  });
}
