/** Numbers of the sets of pictures among those of a seed; the shifts follow `id` in their order. */
export const pictureSets = Object.freeze({ pretraining: 1, finetuning: 2, id: 3 });

/** Streams of random numbers for initial weights, below those of the pictures. */
export const initialisation = Object.freeze({ pretraining: 0, independent: 1, permutation: 2 });
