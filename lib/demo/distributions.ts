/** Smallest and largest of a quantity that is uniform between them. */
export type Range = readonly [number, number];

/** What varies from picture to picture. Lengths are in half pictures, grey values in [-1, 1] with ground at 0. */
export interface Distribution {
  /** Degrees to either side. */
  readonly rotation: number;
  readonly scale: Range;
  /** To either side, along both axes. */
  readonly shift: number;
  /** To either side. */
  readonly shear: number;
  /** Half the width of the stroke. */
  readonly thickness: Range;
  /** Half the width of the stroke's edge. */
  readonly softness: Range;
  /** Grey value of the stroke. */
  readonly contrast: Range;
  /** Share of pictures with dark strokes. */
  readonly negative: number;
  /** Amplitude of a wave behind the stroke. */
  readonly background: Range;
  /** Standard deviation of each pixel. */
  readonly noise: Range;
  /** Share of pictures with a rectangle in front. */
  readonly occluder: number;
  /** Of the ground, to either side. */
  readonly offset: number;
  /** Of each coordinate of the glyph's points, to either side. */
  readonly jitter: number;
}

/** What a model is pre-trained on: everything there is, seldom in its pure form. */
const broad: Distribution = {
  rotation: 45,
  scale: [0.65, 1.1],
  shift: 0.2,
  shear: 0.25,
  thickness: [0.04, 0.2],
  softness: [0.04, 0.14],
  contrast: [0.35, 1],
  negative: 0.5,
  background: [0, 0.5],
  noise: [0, 0.3],
  occluder: 0.3,
  offset: 0.3,
  jitter: 0.14,
};

/** What it is fine-tuned on, and "ID": clean pictures of one kind. */
const narrow: Distribution = {
  rotation: 12,
  scale: [0.85, 1.05],
  shift: 0.1,
  shear: 0.1,
  thickness: [0.09, 0.15],
  softness: [0.06, 0.1],
  contrast: [0.6, 1],
  negative: 0,
  background: [0, 0],
  noise: [0.05, 0.2],
  occluder: 0,
  offset: 0,
  jitter: 0.14,
};

/**
 * The fine-tuning distribution, and what happens to it elsewhere, in the spirit of the shifts of ImageNet. All
 * but the thinnest and sharpest strokes, the strongest noise and the jitter of `recollect` lies inside the broad one,
 * as sketches and renditions do in the pre-training of CLIP.
 */
const shifts = {
  /** Collected again, a little differently. */
  recollect: {
    ...narrow,
    rotation: 20,
    scale: [0.75, 1.1],
    shift: 0.15,
    shear: 0.15,
    thickness: [0.07, 0.17],
    noise: [0.1, 0.25],
    jitter: 0.16,
  },
  /** Dark on light. */
  invert: { ...narrow, negative: 1 },
  /** Thin strokes. */
  sketch: { ...narrow, thickness: [0.03, 0.06], softness: [0.03, 0.05] },
  /** Turned, moved, in front of something. */
  pose_bg: { ...narrow, rotation: 30, shift: 0.15, background: [0.2, 0.5] },
  /** Faint, noisy, half hidden. */
  hard: { ...narrow, noise: [0.15, 0.35], occluder: 0.3, contrast: [0.4, 0.7], background: [0, 0.3] },
} satisfies Record<string, Distribution>;

export const distributions: {
  readonly broad: Distribution;
  readonly id: Distribution;
  readonly shifts: Readonly<Record<string, Distribution>>;
} = Object.freeze({ broad: Object.freeze(broad), id: Object.freeze(narrow), shifts: Object.freeze(shifts) });
