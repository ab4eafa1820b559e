import { WisemergeError } from '../errors.js';

/** Top-1 accuracies of one model, in [0, 1]. */
export interface AccuracyPair {
  readonly name?: string;
  readonly id: number;
  readonly shift: number;
}

/** logit(shift) = slope * logit(id) + intercept over reference models. */
export interface ReferenceLine {
  readonly fitted: true;
  readonly slope: number;
  readonly intercept: number;
  /** Share of the variance of logit(shift) that the line explains. */
  readonly rSquared: number;
  readonly models: number;
  /** Lowest and highest ID accuracy of the reference models. */
  readonly idRange: readonly [number, number];
}

/** Why there is no line to measure against. */
export interface NoReferenceLine {
  readonly fitted: false;
  readonly reason: string;
}

const minModels = 3;
const minRSquared = 0.5;

/**
 * The baseline of effective robustness (Taori et al., NeurIPS 2020): an ordinary least squares fit on logit axes
 * over models trained on the reference distribution alone. Refused, with the reason, with fewer than three
 * models, an accuracy of exactly 0 or 1 (no logit), models of one ID accuracy, or R^2 below 0.5. Throws ERR_DATA
 * where an accuracy is not in [0, 1].
 */
export function fitReferenceLine(models: readonly AccuracyPair[]): ReferenceLine | NoReferenceLine {
  const refuse = (reason: string): NoReferenceLine => ({ fitted: false, reason });
  for (const [i, model] of models.entries()) checkPair(model, i);
  if (models.length < minModels)
    return refuse(`${models.length} reference models; a line needs at least ${minModels}`);
  for (const [i, model] of models.entries()) {
    const end = [model.id, model.shift].find((value) => value === 0 || value === 1);
    if (end !== undefined)
      return refuse(`reference model ${model.name ?? i} has accuracy ${end}, which has no logit`);
  }
  const x = models.map(({ id }) => logit(id));
  const y = models.map(({ shift }) => logit(shift));
  const [meanX, meanY] = [mean(x), mean(y)];
  let [xx, xy, yy] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    const [dx, dy] = [x[i]! - meanX, y[i]! - meanY];
    xx += dx * dx;
    xy += dx * dy;
    yy += dy * dy;
  }
  if (xx < 1e-12) return refuse('all reference models have the same ID accuracy');
  // Equal shift accuracies lie on a line exactly, but that one line says nothing of ID accuracy.
  const rSquared = yy < 1e-24 ? 0 : (xy * xy) / (xx * yy);
  if (rSquared < minRSquared)
    return refuse(
      `the reference models do not lie on a line: R^2 is ${rSquared.toFixed(3)}, below ${minRSquared}`,
    );
  const slope = xy / xx;
  const ids = models.map(({ id }) => id);
  return {
    fitted: true,
    slope,
    intercept: meanY - slope * meanX,
    rSquared,
    models: models.length,
    idRange: [Math.min(...ids), Math.max(...ids)],
  };
}

/** Shift accuracy that the line predicts for an ID accuracy in [0, 1]. */
export function predictShift({ slope, intercept }: ReferenceLine, id: number): number {
  checkPair({ id, shift: 0 }, 0);
  // A slope of zero has one prediction, at the ends too.
  const y = slope === 0 ? intercept : slope * logit(id) + intercept;
  return 1 / (1 + Math.exp(-y));
}

/** Effective robustness of one model. */
export interface EffectiveRobustness {
  /** rho = shift accuracy - predicted shift accuracy: the gain over the line, as a difference of accuracies. */
  readonly rho: number;
  readonly predicted: number;
  /** The ID accuracy lies outside those of the reference models. */
  readonly extrapolated: boolean;
}

/** rho(f) = Acc_shift(f) - beta(Acc_ref(f)) (Wortsman et al., 2022, section 2). Throws ERR_DATA. */
export function effectiveRobustness(line: ReferenceLine, model: AccuracyPair): EffectiveRobustness {
  checkPair(model, 0);
  const predicted = predictShift(line, model.id);
  return {
    rho: model.shift - predicted,
    predicted,
    extrapolated: model.id < line.idRange[0] || model.id > line.idRange[1],
  };
}

function logit(p: number): number {
  return Math.log(p) - Math.log1p(-p);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function checkPair({ name, id, shift }: AccuracyPair, index: number): void {
  for (const value of [id, shift]) {
    if (!(value >= 0 && value <= 1))
      throw new WisemergeError('ERR_DATA', `model ${name ?? index} has accuracy ${value}`, {
        hint: 'Accuracies are fractions: write 83.5 % as 0.835.',
      });
  }
}
