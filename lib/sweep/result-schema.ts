import { z } from 'zod';

const alpha = z.number();

const sweptSet = z.looseObject({
  name: z.string(),
  role: z.enum(['select', 'report']),
  kind: z.enum(['id', 'shift']),
  samples: z.number(),
  outcome: z.string().nullable(),
  metrics: z.array(z.looseObject({ top1: z.number() })),
});

/**
 * Of `sweep.json` what choosing anew, merging and reporting cannot do without. The file is one that people copy, cut
 * and edit; everything else in it is only shown.
 */
export const resultSchema = z
  .looseObject({
    config: z.looseObject({
      rule: z.string(),
      folds: z.int().min(2).optional(),
      repeats: z.int().min(1),
      replicates: z.int().min(1),
      seed: z.int().min(0),
    }),
    alphas: z.array(alpha).min(1),
    sets: z.array(sweptSet).min(1),
    layers: z
      .looseObject({
        single: alpha,
        groups: z.array(z.looseObject({ tensors: z.array(z.string()), alpha })),
      })
      .optional(),
    analysis: z.looseObject({ selection: z.looseObject({ alpha }) }),
  })
  .superRefine(({ alphas, sets }, context) => {
    for (const [s, { metrics }] of sets.entries()) {
      if (metrics.length === alphas.length) continue;
      context.addIssue({
        code: 'custom',
        path: ['sets', s, 'metrics'],
        message: `there are ${metrics.length} for ${alphas.length} alphas`,
      });
    }
  });
