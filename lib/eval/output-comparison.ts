import type { FeatureSet, HeadSession } from './head-session.js';

/** How sure a model is of its predictions on one set. */
export interface Confidence {
  /** Share of samples that are right. */
  readonly top1: number;
  /** Mean probability of the predicted class. */
  readonly confidence: number;
  /** Mean difference of the two largest logits, over the samples that are right and over those that are wrong. */
  readonly marginRight: number | null;
  readonly marginWrong: number | null;
}

/** Samples on which the ends disagree and the merged model takes one side. */
export interface Override {
  readonly samples: number;
  /** Of them, those that the merged model gets right. */
  readonly right: number;
  /** Mean margins of the ends there; null without samples. */
  readonly zeroshotMargin: number | null;
  readonly finetunedMargin: number | null;
}

/** What the ends and the merged model put out on one set, compared sample by sample. */
export interface OutputComparison {
  readonly alpha: number;
  readonly zeroshot: Confidence;
  readonly finetuned: Confidence;
  readonly merged: Confidence;
  /** 1 − Cohen's κ of the predictions of the ends; null where both always predict one and the same class. */
  readonly kappaComplement: number | null;
  /** Mean Kullback-Leibler divergence between the probabilities of the ends, in nats. */
  readonly kl: { readonly zeroshotFinetuned: number; readonly finetunedZeroshot: number };
  /**
   * Samples that the ends predict differently, by whom the merged model follows (appendix E): the zero-shot model
   * overrides the fine-tuned one, is overridden, or neither is followed.
   */
  readonly overrides: {
    readonly zeroshot: Override;
    readonly finetuned: Override;
    readonly neither: Override;
  };
  /**
   * The average of the ends' probabilities, (1 − α) p₀ + α p₁, as a model. (The average of logits is the merged
   * model itself, as the head is linear: Proposition 1.) Null outside [0, 1], where it is no distribution.
   */
  readonly probabilityEnsemble: {
    readonly top1: number;
    readonly nll: number;
    /** Share of samples predicted otherwise than by the merged model. */
    readonly disagreement: number;
  } | null;
}

/**
 * Confidence, margins, overrides and output ensembles of the two ends of a head (Wortsman et al., 2022,
 * appendices E and F): one pass over the logits, in f64. Merged logits are z₀ + α (z₁ − z₀).
 */
export async function compareOutputs(
  session: HeadSession,
  set: FeatureSet,
  alpha: number,
  signal?: AbortSignal,
): Promise<OutputComparison> {
  const { classes } = session.head;
  const [zeroshot, finetuned, merged] = [new ConfidenceSums(), new ConfidenceSums(), new ConfidenceSums()];
  const overrides = {
    zeroshot: new OverrideSums(),
    finetuned: new OverrideSums(),
    neither: new OverrideSums(),
  };
  const predicted = [new Float64Array(classes), new Float64Array(classes)] as const;
  const isMean = alpha >= 0 && alpha <= 1;
  const row64 = () => new Float64Array(classes);
  const [logits, mixed, e0, e1] = [row64(), row64(), row64(), row64()];
  let [agree, kl01, kl10, ensembleRight, ensembleNll, ensembleDiffers] = [0, 0, 0, 0, 0, 0];
  await session.forEach(
    set,
    async ({ rows, numbers, first }) => {
      const [, , stride, at0, at1] = numbers as [number, number, number, number, number];
      const z0s = session.arena.floats(at0, rows * stride);
      const z1s = session.arena.floats(at1, rows * stride);
      for (let row = 0; row < rows; row++) {
        const label = set.labels[first + row]!;
        const z0 = z0s.subarray(row * stride, row * stride + classes);
        const z1 = z1s.subarray(row * stride, row * stride + classes);
        for (let c = 0; c < classes; c++)
          logits[c] = alpha === 1 ? z1[c]! : z0[c]! + alpha * (z1[c]! - z0[c]!);
        const a = outputOf(z0, e0);
        const b = outputOf(z1, e1);
        const m = outputOf(logits, mixed);
        zeroshot.add(a, label);
        finetuned.add(b, label);
        merged.add(m, label);
        predicted[0][a.predicted]! += 1;
        predicted[1][b.predicted]! += 1;
        if (a.predicted === b.predicted) agree++;
        else {
          const side =
            m.predicted === a.predicted ? 'zeroshot' : m.predicted === b.predicted ? 'finetuned' : 'neither';
          overrides[side].add(a.margin, b.margin, m.predicted === label);
        }
        let difference0 = 0;
        let difference1 = 0;
        for (let c = 0; c < classes; c++) {
          const p0 = e0[c]! * a.confidence;
          const p1 = e1[c]! * b.confidence;
          const difference = z0[c]! - z1[c]!;
          difference0 += p0 * difference;
          difference1 -= p1 * difference;
          mixed[c] = (1 - alpha) * p0 + alpha * p1;
        }
        kl01 += difference0 - a.logSum + b.logSum;
        kl10 += difference1 - b.logSum + a.logSum;
        if (isMean) {
          const choice = argmax(mixed);
          ensembleRight += Number(choice === label);
          ensembleDiffers += Number(choice !== m.predicted);
          ensembleNll -= logMean(z0[label]! - a.logSum, z1[label]! - b.logSum, alpha);
        }
      }
    },
    signal,
  );
  const { samples } = set;
  let chance = 0;
  for (let c = 0; c < classes; c++) chance += (predicted[0][c]! / samples) * (predicted[1][c]! / samples);
  return {
    alpha,
    zeroshot: zeroshot.means(),
    finetuned: finetuned.means(),
    merged: merged.means(),
    kappaComplement: chance < 1 ? (1 - agree / samples) / (1 - chance) : null,
    // Rounding can carry the divergence of equal distributions just below 0.
    kl: { zeroshotFinetuned: Math.max(0, kl01 / samples), finetunedZeroshot: Math.max(0, kl10 / samples) },
    overrides: {
      zeroshot: overrides.zeroshot.means(),
      finetuned: overrides.finetuned.means(),
      neither: overrides.neither.means(),
    },
    probabilityEnsemble: isMean
      ? {
          top1: ensembleRight / samples,
          nll: ensembleNll / samples,
          disagreement: ensembleDiffers / samples,
        }
      : null,
  };
}

interface Output {
  /** The lowest class of the largest logit. */
  readonly predicted: number;
  readonly margin: number;
  /** log Σ exp z. */
  readonly logSum: number;
  readonly confidence: number;
}

/** Puts exp(z - max z) into `exponentials`; times the confidence they are the probabilities. */
function outputOf(z: Float32Array | Float64Array, exponentials: Float64Array): Output {
  const predicted = argmax(z);
  const top = z[predicted]!;
  let second = Number.NEGATIVE_INFINITY;
  let sum = 0;
  for (let c = 0; c < z.length; c++) {
    const value = z[c]!;
    const exponential = Math.exp(value - top);
    exponentials[c] = exponential;
    sum += exponential;
    if (c !== predicted && value > second) second = value;
  }
  // A head of one class has no second.
  const margin = z.length > 1 ? top - second : 0;
  return { predicted, margin, logSum: top + Math.log(sum), confidence: 1 / sum };
}

function argmax(values: Float32Array | Float64Array): number {
  let best = 0;
  for (let c = 1; c < values.length; c++) if (values[c]! > values[best]!) best = c;
  return best;
}

/** log((1 − α) exp a + α exp b), for logarithms of probabilities that may underflow. */
function logMean(a: number, b: number, alpha: number): number {
  if (alpha === 0 || alpha === 1) return alpha === 0 ? a : b;
  const most = Math.max(a, b);
  return most + Math.log((1 - alpha) * Math.exp(a - most) + alpha * Math.exp(b - most));
}

const mean = (sum: number, count: number): number | null => (count > 0 ? sum / count : null);

class ConfidenceSums {
  readonly #samples = [0, 0];
  readonly #margins = [0, 0];
  #confidence = 0;

  add({ predicted, margin, confidence }: Output, label: number): void {
    const right = Number(predicted === label);
    this.#samples[right]! += 1;
    this.#margins[right]! += margin;
    this.#confidence += confidence;
  }

  means(): Confidence {
    const [wrong, right] = this.#samples as [number, number];
    return {
      top1: right / (right + wrong),
      confidence: this.#confidence / (right + wrong),
      marginRight: mean(this.#margins[1]!, right),
      marginWrong: mean(this.#margins[0]!, wrong),
    };
  }
}

class OverrideSums {
  #samples = 0;
  #right = 0;
  #zeroshot = 0;
  #finetuned = 0;

  add(zeroshotMargin: number, finetunedMargin: number, right: boolean): void {
    this.#samples += 1;
    this.#right += Number(right);
    this.#zeroshot += zeroshotMargin;
    this.#finetuned += finetunedMargin;
  }

  means(): Override {
    return {
      samples: this.#samples,
      right: this.#right,
      zeroshotMargin: mean(this.#zeroshot, this.#samples),
      finetunedMargin: mean(this.#finetuned, this.#samples),
    };
  }
}
