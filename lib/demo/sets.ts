import type { EvaluationSet } from '../eval/data/evaluation-set.js';
import { distributions } from './distributions.js';
import { makeGlyphs } from './glyphs.js';
import { drawPictures, evaluationSet, splitInHalf } from './pictures.js';
import type { Recipe } from './recipe.js';
import { shape } from './renderer.js';
import { pictureSets } from './streams.js';

/** Ends the name of a half that is kept for reporting. */
const reportSuffix = '-report';

/** The name of the distribution that a half is of. */
export const distributionOf = (name: string): string =>
  name.endsWith(reportSuffix) ? name.slice(0, -reportSuffix.length) : name;

/** ID and the shifts, each in two halves: `NAME` to choose alpha on, `NAME-report` that the choice never sees. */
export async function makeEvaluationSets(
  { classes, evaluated, network }: Recipe,
  seed: number,
  signal?: AbortSignal,
): Promise<EvaluationSet[]> {
  const glyphs = makeGlyphs(classes);
  const options = network.kind === 'vit' ? { shape } : {};
  const all = Object.entries({ id: distributions.id, ...distributions.shifts });
  const sets: EvaluationSet[] = [];
  for (const [i, [name, distribution]] of all.entries()) {
    const set = pictureSets.id + i;
    const pictures = await drawPictures(glyphs, distribution, evaluated, { seed, set, signal });
    const [select, report] = splitInHalf(pictures, seed, set);
    const kind = name === 'id' ? 'id' : 'shift';
    sets.push(evaluationSet(name, 'select', kind, select, options));
    sets.push(evaluationSet(`${name}${reportSuffix}`, 'report', kind, report, options));
  }
  return sets;
}
