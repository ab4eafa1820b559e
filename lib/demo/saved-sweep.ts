import { join } from 'node:path';
import type { Evaluator, SetEvaluation } from '../eval/evaluator.js';
import { writeReport } from '../report/report.js';
import { formatRule } from '../selection/rule.js';
import { sweepWith } from '../sweep/model-sweep.js';
import { resolveSweep } from '../sweep/sweep-options.js';
import { demoRule } from './outcome.js';

/** The sweep's name in the demo's directory. */
export const sweepName = 'sweep';

export interface SaveSweep {
  /** Where the sweep is written. */
  readonly directory: string;
  /** Where the pair will lie in the end, which is what the sweep says. */
  readonly kept: string;
}

/**
 * Evaluates a pair as `wisemerge sweep` does, and writes what that writes: `sweep.json`, the outcomes of the
 * samples and `report.html`. Gives the evaluations of the alphas. Throws as `sweepWith` and `writeReport`.
 */
export async function saveSweep(
  evaluator: Evaluator,
  alphas: readonly number[],
  seed: number,
  { directory, kept }: SaveSweep,
  signal?: AbortSignal,
): Promise<readonly (readonly SetEvaluation[])[]> {
  const config = resolveSweep(
    {
      zeroshot: join(kept, 'zeroshot'),
      finetuned: join(kept, 'finetuned'),
      sets: evaluator.sets.map(({ name, role, kind }) => ({ name, role, kind })),
      alphas: [...alphas],
      rule: formatRule(demoRule(evaluator.sets)),
      seed,
      // The models do not lie there yet.
      divergence: false,
    },
    { evaluated: true },
  );
  const seen = new Map<number, readonly SetEvaluation[]>();
  const { sets, identity, batch, calls } = evaluator;
  const recording: Evaluator = {
    ...{ sets, identity, batch, calls },
    evaluate: async (some, stop) => {
      const results = await evaluator.evaluate(some, stop);
      for (const [k, alpha] of some.entries()) seen.set(alpha, results[k]!);
      return results;
    },
    close: () => evaluator.close(),
  };
  await sweepWith(recording, config, { out: directory, ...(signal && { signal }) });
  await writeReport(directory);
  return alphas.map((alpha) => seen.get(alpha)!);
}
