import { Engine } from '../native.js';
import { type FeatureSet, type HeadSession, outputColumns } from './head-session.js';

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

// Columns of `Engine.headOutputs`.
const model = { zeroshot: 0, finetuned: 3, merged: 6 } as const;
const column = { divergence0: 9, divergence1: 10, ensemble: 11, label0: 12, label1: 13 } as const;

/**
 * Confidence, margins, overrides and output ensembles of the two ends of a head (Wortsman et al., 2022,
 * appendices E and F): one pass over the logits, always on the CPU. Merged logits are z₀ + α (z₁ − z₀).
 */
export async function compareOutputs(
  session: HeadSession,
  set: FeatureSet,
  alpha: number,
  signal?: AbortSignal,
): Promise<OutputComparison> {
  const { classes } = session.head;
  const { samples } = set;
  const [zeroshot, finetuned, merged] = [new ConfidenceSums(), new ConfidenceSums(), new ConfidenceSums()];
  const overrides = {
    zeroshot: new OverrideSums(),
    finetuned: new OverrideSums(),
    neither: new OverrideSums(),
  };
  const predicted = [new Float64Array(classes), new Float64Array(classes)] as const;
  const isMean = alpha >= 0 && alpha <= 1;
  let [agree, kl01, kl10, ensembleRight, ensembleNll, ensembleDiffers] = [0, 0, 0, 0, 0, 0];
  // Devices leave the logits in host memory, and have no kernel for this.
  using own = session.engine.device.backend === 'cpu' ? undefined : new Engine();
  const engine = own ?? session.engine;
  await session.forEach(
    set,
    async ({ first, rows, numbers }) => {
      await engine.headOutputs(session.arena.buffer, [...numbers, alpha, session.outputs], signal);
      const outputs = session.arena.doubles(session.outputs, rows * outputColumns);
      for (let i = 0; i < rows; i++) {
        const at = i * outputColumns;
        const label = set.labels[first + i]!;
        const output = (start: number): Output => ({
          predicted: outputs[at + start]!,
          margin: outputs[at + start + 1]!,
          confidence: outputs[at + start + 2]!,
        });
        const [a, b, m] = [output(model.zeroshot), output(model.finetuned), output(model.merged)];
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
        kl01 += outputs[at + column.divergence0]!;
        kl10 += outputs[at + column.divergence1]!;
        const ensemble = outputs[at + column.ensemble]!;
        ensembleRight += Number(ensemble === label);
        ensembleDiffers += Number(ensemble !== m.predicted);
        ensembleNll -= logMean(outputs[at + column.label0]!, outputs[at + column.label1]!, alpha);
      }
    },
    signal,
  );
  let chance = 0;
  for (let c = 0; c < classes; c++) chance += (predicted[0][c]! / samples) * (predicted[1][c]! / samples);
  return {
    alpha,
    zeroshot: zeroshot.means(),
    finetuned: finetuned.means(),
    merged: merged.means(),
    kappaComplement: chance < 1 ? (1 - agree / samples) / (1 - chance) : null,
    kl: { zeroshotFinetuned: kl01 / samples, finetunedZeroshot: kl10 / samples },
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
  readonly predicted: number;
  readonly margin: number;
  readonly confidence: number;
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
