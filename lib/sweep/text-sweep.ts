import { TextEvaluator } from '../eval/text/text-evaluator.js';
import type { RunOptions } from './head-sweep.js';
import { type ModelProgress, sweepWith } from './model-sweep.js';
import type { SweepResult } from './result.js';
import type { ResolvedSweep } from './sweep-options.js';

/** Evaluates decoders on text, whole and natively. Rejects as `TextEvaluator` and `sweepWith`. */
export async function sweepText(config: ResolvedSweep, run: RunOptions<ModelProgress>): Promise<SweepResult> {
  const { zeroshot, finetuned, threads, device = 'auto', precision } = config;
  const evaluator = await TextEvaluator.open({
    ...{ zeroshot, finetuned, device },
    // `resolveSweep` has seen to it that every set has text.
    sets: config.sets.map((set) => ({ ...set, text: set.text! })),
    ...(precision && { precision }),
    ...(threads !== undefined && { threads }),
    ...(run.signal && { signal: run.signal }),
  });
  try {
    return await sweepWith(evaluator, config, run);
  } finally {
    await evaluator.close();
  }
}
