import { WisemergeError } from '../../errors.js';
import { readGroups } from '../data/groups.js';
import { readJsonRows } from '../data/json-rows.js';
import type { ScoredSequence } from './sequence-losses.js';
import { fingerprintOf, type Normalisation, type TextSet, type TextSource } from './text-set.js';
import type { TextTokenizer } from './tokenizer.js';

interface Question {
  /** File and line, for messages. */
  readonly place: string;
  readonly context: string;
  readonly choices: readonly string[];
  readonly label: number;
}

/**
 * Questions with several answers, of which the model is right on those whose label has the highest log-likelihood:
 * log p(choice | context), divided as `normalise` says. The first of equals counts.
 *
 * Choices are appended to their context as they are, and both turned into tokens together; a choice's tokens are those
 * behind what the context alone begins with. A context that is too long loses its beginning. Throws ERR_DATA,
 * ERR_DATA_MISMATCH, ERR_IO.
 */
export async function openChoiceSet(
  source: TextSource & { readonly context: number },
  tokenizer: TextTokenizer,
): Promise<TextSet> {
  const { name, role, kind, text, context, normalise = 'tokens' } = source;
  const questions = await readQuestions(text);
  const sequences = questions.flatMap((question) => sequencesOf(question, tokenizer, context, text));
  const divisors = questions
    .flatMap(({ choices }) => choices)
    .map((choice, i) => divisorOf(normalise, choice, sequences[i]!));
  const labels = Int32Array.from(questions, ({ label }) => label);
  const groups = source.groups === undefined ? undefined : await readGroups(source.groups);
  if (groups && groups.ids.length !== questions.length) {
    throw new WisemergeError(
      'ERR_DATA_MISMATCH',
      `set ${name} has ${questions.length} questions and ${groups.ids.length} groups`,
      { hint: 'Give one group per question.' },
    );
  }
  const settings = ['choices', divisors, [...labels], groups && [groups.names, [...groups.ids]]];
  return {
    set: {
      ...{ name, role, kind, samples: questions.length, labels },
      fingerprint: fingerprintOf(settings, sequences),
      ...(groups && { groups }),
    },
    sequences,
    evaluate(losses) {
      const correct = new Uint32Array(Math.ceil(questions.length / 32));
      let first = 0;
      for (const [q, { choices, label, place }] of questions.entries()) {
        const scores = choices.map((_, c) => losses[first + c]! / divisors[first + c]!);
        if (!scores.every(Number.isFinite)) {
          throw new WisemergeError('ERR_EVALUATION', `${place}: the likelihood of a choice is not a number`, {
            file: text,
            hint: 'The weights of the model overflow: compare both ends with wisemerge diff.',
          });
        }
        const best = scores.indexOf(Math.min(...scores));
        if (best === label) correct[q >>> 5]! |= 1 << (q & 31);
        first += choices.length;
      }
      return { correct };
    },
  };
}

function divisorOf(normalise: Normalisation, choice: string, { ids, from }: ScoredSequence): number {
  if (normalise === 'none') return 1;
  return normalise === 'bytes' ? Buffer.byteLength(choice) : ids.length - from;
}

/** One per choice, of `longest` tokens at most. */
function sequencesOf(
  { place, context, choices }: Question,
  tokenizer: TextTokenizer,
  longest: number,
  file: string,
): ScoredSequence[] {
  const before = tokenizer.encode(context);
  return choices.map((choice, c) => {
    const ids = Int32Array.from(tokenizer.encode(context + choice));
    let from = 0;
    while (from < ids.length - 1 && ids[from] === before[from]) from++;
    const refuse = (why: string, hint: string) =>
      new WisemergeError('ERR_DATA_MISMATCH', `${place}: ${why}`, { file, hint, details: { choice: c } });
    if (from === 0) {
      throw refuse(
        'the context has no token',
        'A choice follows on something: give a context, if only a space.',
      );
    }
    const dropped = Math.max(0, ids.length - longest);
    if (dropped >= from) {
      throw refuse(
        `choice ${c} has ${ids.length - from} tokens; the model sees ${longest} at once`,
        'Make `context` larger, or leave the question out.',
      );
    }
    return { ids: ids.subarray(dropped), from: from - dropped };
  });
}

async function readQuestions(file: string): Promise<Question[]> {
  if (!file.toLowerCase().endsWith('.jsonl')) {
    throw new WisemergeError('ERR_DATA', `${file}: questions are not read from this kind of file`, {
      file,
      hint: 'Save them as .jsonl with the keys context, choices and label.',
    });
  }
  const questions: Question[] = [];
  for await (const { row, line } of readJsonRows(file)) {
    const place = `${file} line ${line}`;
    const { context, choices, label } = row;
    const refuse = (why: string) =>
      new WisemergeError('ERR_DATA', `${place}: ${why}`, {
        file,
        hint: 'A line is {"context": "Snow is", "choices": [" white", " green"], "label": 0}.',
      });
    if (typeof context !== 'string') throw refuse('context is not text');
    const texts =
      Array.isArray(choices) && choices.every((choice) => typeof choice === 'string' && choice !== '');
    if (!texts || choices.length < 2) throw refuse('choices is not a list of two or more texts');
    if (!(Number.isInteger(label) && Number(label) >= 0 && Number(label) < choices.length)) {
      throw refuse(`label is not a number from 0 to ${choices.length - 1}`);
    }
    questions.push({ place, context, choices, label: Number(label) });
  }
  if (questions.length > 0) return questions;
  throw new WisemergeError('ERR_DATA', `${file} is empty`, { file, hint: 'Save the questions again.' });
}
