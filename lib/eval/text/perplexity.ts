import { extname } from 'node:path';
import { ioError, WisemergeError } from '../../errors.js';
import { readWhole } from '../../files/read-whole.js';
import { readColumn } from '../data/column.js';
import type { ScoredSequence } from './sequence-losses.js';
import { fingerprintOf, type TextSet, type TextSource } from './text-set.js';
import type { TextTokenizer } from './tokenizer.js';

/**
 * Documents in windows of `context` tokens, each `stride` behind the one before. All tokens but the first of a document
 * are scored, each once, with at least `context` - `stride` tokens before it wherever so many are there.
 *
 * The evaluation is the probability e^-nll of a token in geometric mean, 1 / perplexity, with nll the mean of
 * -log p(token | those before it in the window) in nats over all scored tokens. Throws ERR_DATA, ERR_DATA_MISMATCH,
 * ERR_IO.
 */
export async function openPerplexitySet(
  source: TextSource & { readonly context: number; readonly stride: number },
  tokenizer: TextTokenizer,
): Promise<TextSet> {
  const { name, role, kind, text, context, stride } = source;
  const documents = await readDocuments(text);
  const sequences = documents.flatMap((document) =>
    windowsOf(Int32Array.from(tokenizer.encode(document)), context, stride),
  );
  const tokens = sequences.reduce((sum, { ids, from }) => sum + ids.length - from, 0);
  if (tokens === 0) {
    throw new WisemergeError('ERR_DATA', `${text} has no token to score`, {
      file: text,
      hint: 'A text needs two tokens at least, of which the second is scored.',
    });
  }
  return {
    set: { name, role, kind, samples: tokens, fingerprint: fingerprintOf('perplexity', sequences) },
    sequences,
    evaluate(losses) {
      const nll = losses.reduce((sum, loss) => sum + loss, 0) / tokens;
      // e^nll is beyond a double from 710 nats on, and JSON has no infinity.
      const perplexity = Math.min(Math.exp(nll), Number.MAX_VALUE);
      return { score: Math.exp(-nll), metrics: { nll, perplexity } };
    },
  };
}

/**
 * Windows that end at `context`, `context + stride`, … and at the end of the text, each as long as the text allows. A
 * window scores the tokens behind the end of the one before it.
 */
export function windowsOf(ids: Int32Array, context: number, stride: number): ScoredSequence[] {
  const windows: ScoredSequence[] = [];
  // The first token follows on nothing.
  for (let scored = 1; scored < ids.length; ) {
    const end = Math.min(ids.length, scored === 1 ? context : scored + stride);
    const begin = Math.max(0, end - context);
    windows.push({ ids: ids.subarray(begin, end), from: scored - begin });
    scored = end;
  }
  return windows;
}

/** A .txt is one document, a table one per row. */
async function readDocuments(source: string): Promise<string[]> {
  if (extname(source).toLowerCase() === '.txt') return [await readText(source)];
  const { file, values, place } = await readColumn(source, 'texts');
  return values.map((value, i) => {
    if (typeof value === 'string') return value;
    throw new WisemergeError('ERR_DATA', `${place(i)}: there is no text`, {
      file,
      hint: 'Give every row a text; name the column as FILE:COLUMN if it is another one.',
    });
  });
}

async function readText(path: string): Promise<string> {
  const bytes = await readWhole(path).catch((error) => {
    throw ioError(error, 'read', path);
  });
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new WisemergeError('ERR_DATA', `${path} is not UTF-8 text`, {
      file: path,
      hint: 'Save it as UTF-8.',
      cause,
    });
  }
}
