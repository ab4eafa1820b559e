import { z } from 'zod';
import { normalisations, textTasks } from '../eval/text/text-set.js';

/** What a set of a sweep file says where a decoder is evaluated on text. */
export const textSetFields = {
  text: z
    .string()
    .min(1)
    .optional()
    .describe('For decoders: text in .txt, .jsonl, .parquet or .csv. See docs/text.md.'),
  task: z
    .enum(textTasks)
    .optional()
    .describe('`perplexity` (default), or `choices`: questions in .jsonl with context, choices and label.'),
  context: z.int().min(2).optional().describe('Tokens that the model sees at once; default: at most 1024.'),
  stride: z
    .int()
    .min(1)
    .optional()
    .describe('For `perplexity`: tokens from one window to the next; default: half of context.'),
  normalise: z
    .enum(normalisations)
    .optional()
    .describe(
      'For `choices`: what the log-likelihood of a choice is divided by: its tokens (default), its bytes, or nothing.',
    ),
};
