/** One training run: AdamW, linear warm-up, half a cosine. */
export interface TrainingRecipe {
  /** Different pictures. */
  readonly samples: number;
  /** Share of labels replaced by any class. */
  readonly labelNoise: number;
  /** Each picture comes this often in an epoch. */
  readonly copies: number;
  readonly epochs: number;
  readonly lr: number;
}

/** An MLP with ReLU. */
export interface MlpRecipe {
  readonly kind: 'mlp';
  /** Widths of the hidden layers. */
  readonly hidden: readonly number[];
}

/** A ViT (Dosovitskiy et al., 2021) with a class token and GELU. */
export interface VitRecipe {
  readonly kind: 'vit';
  /** Pixels along a side of a patch. */
  readonly patch: number;
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
  /** Width of the blocks' MLPs. */
  readonly inner: number;
}

/** Everything that decides the demo besides its seeds. */
export interface Recipe {
  readonly classes: number;
  readonly network: MlpRecipe | VitRecipe;
  readonly batchSize: number;
  readonly weightDecay: number;
  readonly clip: number;
  readonly pretraining: TrainingRecipe;
  readonly finetuning: TrainingRecipe;
  /** Pictures of each evaluation set: half to choose alpha on, half to report. */
  readonly evaluated: number;
  readonly alphas: readonly number[];
}

/**
 * A model that has seen a lot with labels that are half wrong, and few clean pictures to fine-tune it on: the
 * conditions under which interpolation helps are that fine-tuning starts from the pre-trained weights, its
 * head included, at a moderate rate, and that ID accuracy has room to grow.
 */
export const standardRecipe: Recipe = Object.freeze({
  classes: 16,
  network: Object.freeze({ kind: 'mlp', hidden: Object.freeze([128, 128]) }),
  batchSize: 128,
  weightDecay: 0.1,
  clip: 1,
  pretraining: Object.freeze({ samples: 48_000, labelNoise: 0.5, copies: 1, epochs: 8, lr: 1e-3 }),
  finetuning: Object.freeze({ samples: 160, labelNoise: 0, copies: 100, epochs: 4, lr: 3e-4 }),
  evaluated: 4000,
  alphas: Object.freeze(Array.from({ length: 21 }, (_, k) => k / 20)),
});

/** The same with a small ViT; docs/demo.md says how it was settled. */
export const vitRecipe: Recipe = Object.freeze({
  classes: 16,
  network: Object.freeze({ kind: 'vit', patch: 4, width: 48, depth: 3, heads: 4, inner: 96 }),
  batchSize: 64,
  weightDecay: 0.1,
  clip: 1,
  pretraining: Object.freeze({ samples: 48_000, labelNoise: 0.4, copies: 1, epochs: 4, lr: 1e-3 }),
  finetuning: Object.freeze({ samples: 320, labelNoise: 0, copies: 10, epochs: 4, lr: 6e-4 }),
  evaluated: 2000,
  alphas: Object.freeze(Array.from({ length: 11 }, (_, k) => k / 10)),
});
