import type { Checkpoint } from '../../checkpoint/checkpoint.js';
import { NamePatterns } from './name-patterns.js';
import type { LoraTarget } from './targets.js';

/** A module with its rank in the adapter. */
export interface RankedTarget extends Pick<LoraTarget, 'module' | 'transposed' | 'embedding'> {
  readonly rank: number;
}

export interface AdapterFacts {
  readonly base: Checkpoint;
  /** What to call the base: a path, or a name on the Hub. */
  readonly baseName: string;
  readonly targets: readonly RankedTarget[];
  /** Modules that are in the adapter as a whole. */
  readonly savedModules: readonly string[];
  /** Biases of adapted modules are in it. */
  readonly biases: boolean;
}

/**
 * `adapter_config.json` as PEFT reads it. Scales are 1: lora_alpha is the rank, of modules with another rank than most
 * by patterns.
 */
export function adapterConfig({ base, baseName, targets, savedModules, biases }: AdapterFacts): object {
  const rank = mostCommon(targets.map((target) => target.rank));
  const pattern = rankPattern(targets, rank);
  return {
    alpha_pattern: pattern,
    base_model_name_or_path: baseName,
    bias: biases ? 'all' : 'none',
    fan_in_fan_out: targets.some(({ transposed, embedding }) => transposed && !embedding),
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: rank,
    lora_dropout: 0,
    modules_to_save: savedModules.length > 0 ? savedModules : null,
    peft_type: 'LORA',
    r: rank,
    rank_pattern: pattern,
    target_modules: targetModules(base, targets),
    task_type: taskType(base),
    use_dora: false,
    use_rslora: false,
  };
}

/**
 * Ranks other than `rank`, by name. PEFT takes the first key that as a regular expression fits a name or its end after a dot. So
 * names that another's key fits have keys too, and come before it: they are longer, or have letters where it has dots. Dots are not
 * escaped: earlier versions of PEFT look for the name itself.
 */
function rankPattern(targets: readonly RankedTarget[], rank: number): Record<string, number> {
  const others = targets.filter((target) => target.rank !== rank);
  const keys = new NamePatterns(others.map(({ module }) => keyOf(module)));
  const dots = (name: string): number => name.split('.').length;
  const listed = targets
    .filter((target) => target.rank !== rank || keys.first(target.module) !== undefined)
    .sort(
      (a, b) =>
        b.module.length - a.module.length ||
        dots(a.module) - dots(b.module) ||
        (a.module < b.module ? -1 : 1),
    );
  return Object.fromEntries(listed.map((target) => [keyOf(target.module), target.rank]));
}

function keyOf(module: string): string {
  return module.replaceAll(/[\\^$*+?()[\]{}|]/g, '\\$&');
}

function mostCommon(values: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort(([a, m], [b, n]) => n - m || b - a)[0]![0];
}

/** The last words of the modules' names where these name no other module, else whole names. */
function targetModules(base: Checkpoint, targets: readonly RankedTarget[]): string[] {
  const last = (module: string): string => module.split('.').at(-1)!;
  const adapted = new Set(targets.map(({ module }) => module));
  const others = new Set<string>();
  for (const name of base.tensors.keys()) {
    const module = name.replace(/\.[^.]+$/, '');
    if (!adapted.has(module)) others.add(last(module));
  }
  const names = targets.map(({ module }) => (others.has(last(module)) ? module : last(module)));
  return [...new Set(names)].sort();
}

const taskTypes: readonly (readonly [RegExp, string])[] = [
  [/For(CausalLM|LMHead)|LMHeadModel$/, 'CAUSAL_LM'],
  [/ForSequenceClassification$/, 'SEQ_CLS'],
  [/ForTokenClassification$/, 'TOKEN_CLS'],
  [/ForQuestionAnswering$/, 'QUESTION_ANS'],
  [/ForConditionalGeneration$/, 'SEQ_2_SEQ_LM'],
];

function taskType({ config }: Checkpoint): string | null {
  const [architecture] = Array.isArray(config?.architectures) ? config.architectures : [];
  if (typeof architecture !== 'string') return null;
  return taskTypes.find(([pattern]) => pattern.test(architecture))?.[1] ?? null;
}
