/** File stems that libraries give the weights of one model, in the order in which a directory is searched. */
export const knownStems = ['model', 'diffusion_pytorch_model', 'open_clip_model', 'adapter_model'];
const torchStems = ['pytorch_model', 'open_clip_pytorch_model'];

/** A file name of weights in its parts, as transformers and diffusers build it. */
export interface WeightName {
  readonly kind: 'whole' | 'shard' | 'index';
  readonly stem: string;
  /** `fp16` of `model.fp16.safetensors`: what `from_pretrained` loads only if asked. */
  readonly variant: string | undefined;
  readonly extension: string;
  /** The name of the same without its variant. */
  readonly plain: string;
  /** The index that a shard belongs to, or an index itself. */
  readonly index: string;
}

const stem = `(?<stem>${[...knownStems, ...torchStems].join('|')})`;
const variant = '(?:\\.(?<variant>[\\w-]+?))';
const count = '(?<count>-\\d{5,6}-of-\\d{5,6})';
const extension = '\\.(?<extension>safetensors|bin)';
/** The variant stands before the extension; older versions of diffusers put it behind the count and before `.index`. */
const patterns: readonly [WeightName['kind'], RegExp][] = [
  ['index', RegExp(`^${stem}${extension}\\.index${variant}?\\.json$`)],
  ['index', RegExp(`^${stem}${extension}${variant}\\.index\\.json$`)],
  ['shard', RegExp(`^${stem}${variant}?${count}${extension}$`)],
  ['shard', RegExp(`^${stem}${count}${variant}${extension}$`)],
  ['whole', RegExp(`^${stem}${variant}?${extension}$`)],
];

/** The parts of a name; undefined for one that no library gives. */
export function parseWeightName(name: string): WeightName | undefined {
  for (const [kind, pattern] of patterns) {
    const parts = pattern.exec(name)?.groups;
    if (!parts) continue;
    const {
      stem,
      variant,
      count = '',
      extension,
    } = parts as Record<string, string> & {
      stem: string;
      extension: string;
    };
    const plain = `${stem}${count}.${extension}`;
    const index = `${stem}.${extension}.index${variant === undefined ? '' : `.${variant}`}.json`;
    return { kind, stem, variant, extension, plain: kind === 'index' ? `${plain}.index.json` : plain, index };
  }
  return undefined;
}

/** `model.safetensors` for `model.fp16.safetensors`; other names as they are. */
export function withoutVariant(name: string): string {
  return parseWeightName(name)?.plain ?? name;
}
