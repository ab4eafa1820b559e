import { tieTolerance } from '../statistics/step-function.js';

/** One model that was tried in the soup. */
export interface GreedyStep {
  /** Models in the soup with it, by number, ascending. */
  readonly members: readonly number[];
  readonly added: number;
  /** Of the mean of the members. */
  readonly score: number;
  readonly accepted: boolean;
}

export interface GreedySoup {
  /** All models, the best first; of equals the one that was named first. */
  readonly order: readonly number[];
  /** By number, ascending. */
  readonly members: readonly number[];
  readonly score: number;
  readonly steps: readonly GreedyStep[];
}

/**
 * Greedy soup (Wortsman et al., 2022, "Model soups", recipe 1): models in the order of their own scores are added one after the other;
 * one stays where the mean of those in the soup does not get worse. So the soup is no worse than the best model. What it
 * does follows from scores alone.
 */
export async function greedySoup(
  scores: readonly number[],
  evaluate: (members: readonly number[]) => Promise<number>,
): Promise<GreedySoup> {
  const order = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]! || a - b);
  const [first, ...rest] = order as [number, ...number[]];
  let members: readonly number[] = [first];
  let score = scores[first]!;
  const steps: GreedyStep[] = [];
  for (const added of rest) {
    const tried = [...members, added].sort((a, b) => a - b);
    const found = await evaluate(tried);
    const accepted = found >= score - tieTolerance;
    steps.push({ members: tried, added, score: found, accepted });
    if (!accepted) continue;
    members = tried;
    score = found;
  }
  return { order, members, score, steps };
}
