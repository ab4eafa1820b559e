import { type EvaluationSet, type HeadShape, openEvaluationSet } from '../eval/data/evaluation-set.js';
import type { ResolvedSweep } from './sweep-options.js';

/** Opens the sets of a sweep, all of them or none. Rejects as `openEvaluationSet`. */
export async function openSets(config: ResolvedSweep, shape: HeadShape): Promise<EvaluationSet[]> {
  const opened: EvaluationSet[] = [];
  try {
    for (const { groups, features, labels, ...source } of config.sets) {
      const named = {
        ...source,
        // `resolveSweep` has seen to it that both are there.
        features: features!,
        labels: labels!,
        ...(groups !== undefined && { groups }),
        ...(config.classNames && { classNames: config.classNames }),
      };
      opened.push(await openEvaluationSet(named, shape));
    }
    return opened;
  } catch (error) {
    await Promise.all(opened.map((set) => set.close()));
    throw error;
  }
}
