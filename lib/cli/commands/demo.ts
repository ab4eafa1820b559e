import { type DemoResult, demo } from '../../demo/demo.js';
import { type Recipe, standardRecipe, vitRecipe } from '../../demo/recipe.js';
import { describeControl, describeDemo } from '../demo-text.js';
import { printable } from '../format.js';
import { ProgressLine } from '../progress-line.js';
import { note, type OutputFlags, printResult, warn } from '../terminal.js';

export interface DemoFlags extends OutputFlags {
  readonly out?: string;
  readonly seeds?: number;
  readonly control?: boolean;
  readonly vit?: boolean;
  readonly force?: boolean;
}

/** `recipe` is for tests, which have less time. */
export async function runDemo(
  flags: DemoFlags,
  signal: AbortSignal,
  recipe: Recipe = flags.vit ? vitRecipe : standardRecipe,
): Promise<void> {
  const { json: _json, quiet: _quiet, vit: _vit, ...options } = flags;
  const progress = new ProgressLine(flags);
  let result: DemoResult;
  try {
    result = await demo({
      ...options,
      recipe,
      signal,
      onProgress: ({ run, runs, what, share }) =>
        progress.show(`seed ${run} of ${runs}: ${what}, ${Math.round(100 * share)} %`),
    });
  } finally {
    progress.end();
  }
  const { control } = result;
  printResult(flags, result, () =>
    [describeDemo(result), ...(control ? [describeControl(control)] : [])].join('\n\n'),
  );
  for (const warning of result.warnings) warn(flags, printable(warning));
  note(flags, `${result.seconds.toFixed(1)} s`);
  if (flags.out === undefined) return;
  const { out } = flags;
  note(
    flags,
    `the first seed's models are in ${out}/zeroshot and ${out}/finetuned, its sweep is in ${out}/sweep:`,
  );
  note(
    flags,
    'open its report.html, and try inspect, diff, merge --alpha best --sweep, pick and verify on them',
  );
}
