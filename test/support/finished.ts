// The steps of an analysis, all in one go.
import * as analysis from '../../lib/selection/analysis.js';
import * as bands from '../../lib/selection/band.js';
import * as bootstrap from '../../lib/selection/bootstrap.js';
import * as chord from '../../lib/selection/chord.js';
import * as crossValidation from '../../lib/selection/cross-validation.js';
import * as verdict from '../../lib/selection/verdict.js';
import { finish, type Steps } from '../../lib/statistics/turns.js';

const finished =
  <Args extends unknown[], Result>(steps: (...args: Args) => Steps<Result>) =>
  (...args: Args): Result =>
    finish(steps(...args));

export const analyse = finished(analysis.analyse);
export const bootstrapSelection = finished(bootstrap.bootstrapSelection);
export const resample = finished(bootstrap.resample);
export const resampleOutcomes = finished(bootstrap.resampleOutcomes);
export const crossValidate = finished(crossValidation.crossValidate);
export const judge = finished(verdict.judge);
export const chordTest = finished(chord.chordTest);
export const simultaneousBand = finished(bands.simultaneousBand);
