import type { EvaluationSet } from '../eval/data/evaluation-set.js';
import { distributions } from './distributions.js';
import { makeGlyphs } from './glyphs.js';
import { drawPictures, evaluationSet, splitInHalf } from './pictures.js';
import type { Recipe } from './recipe.js';
import { pictureSets } from './streams.js';

/** A set's name where it is kept for reporting. */
export const reportName = (name: string): string => `${name}-report`;

/** ID and the shifts, each in two halves: `NAME` to choose alpha on, `NAME-report` that the choice never sees. */
export function makeEvaluationSets(
  { classes, evaluated }: Recipe,
  seed: number,
  signal?: AbortSignal,
): EvaluationSet[] {
  const glyphs = makeGlyphs(classes);
  const all = Object.entries({ id: distributions.id, ...distributions.shifts });
  return all.flatMap(([name, distribution], i) => {
    signal?.throwIfAborted();
    const set = pictureSets.id + i;
    const pictures = drawPictures(glyphs, distribution, evaluated, { seed, set });
    const [select, report] = splitInHalf(pictures, seed, set);
    const kind = name === 'id' ? 'id' : 'shift';
    return [
      evaluationSet(name, 'select', kind, select),
      evaluationSet(reportName(name), 'report', kind, report),
    ];
  });
}
