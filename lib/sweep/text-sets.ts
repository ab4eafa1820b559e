import { WisemergeError } from '../errors.js';
import type { normalisations, textTasks } from '../eval/text/text-set.js';

interface GivenSet {
  readonly name: string;
  readonly features?: string | undefined;
  readonly labels?: string | undefined;
  readonly groups?: string | undefined;
  readonly text?: string | undefined;
  readonly task?: (typeof textTasks)[number] | undefined;
  readonly context?: number | undefined;
  readonly stride?: number | undefined;
  readonly normalise?: (typeof normalisations)[number] | undefined;
}

/** Whether a sweep evaluates decoders on text. */
export function hasText(sets: readonly GivenSet[]): boolean {
  return sets.some(({ text }) => text !== undefined);
}

/**
 * Checks what sets say about text. `whole`: models are evaluated by code of the caller's. Throws ERR_SWEEP_FILE naming
 * the set.
 */
export function checkTextSets({ sets }: { readonly sets: readonly GivenSet[] }, whole: boolean): void {
  const any = hasText(sets);
  for (const set of sets) {
    const refuse = (why: string, hint: string) =>
      new WisemergeError('ERR_SWEEP_FILE', `set ${set.name} ${why}`, { hint });
    const options = (['task', 'context', 'stride', 'normalise'] as const).filter(
      (key) => set[key] !== undefined,
    );
    if (set.text === undefined) {
      if (options.length > 0)
        throw refuse(`has ${options.join(', ')} but no text`, 'Give the file as `text`.');
      if (any)
        throw refuse(
          'has no text, but others do',
          'Make one sweep of the sets of text, and another of the rest.',
        );
      continue;
    }
    if (whole)
      throw refuse(
        'has text, but models are evaluated by a command or function',
        'Leave out the text, or the command or function.',
      );
    const choices = set.task === 'choices';
    const foreign = (['features', 'labels', ...(choices ? [] : (['groups'] as const))] as const).filter(
      (key) => set[key] !== undefined,
    );
    if (foreign.length > 0) {
      throw refuse(
        `has ${foreign.join(' and ')} beside its text`,
        'The file of `choices` has the labels in it; text has no features, and `perplexity` no groups.',
      );
    }
    const unused = choices ? ('stride' as const) : ('normalise' as const);
    if (set[unused] !== undefined) {
      throw refuse(
        `has ${unused}, which is for task ${choices ? 'perplexity' : 'choices'}`,
        `Leave \`${unused}\` out.`,
      );
    }
  }
}
