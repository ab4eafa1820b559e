import { createReadStream } from 'node:fs';
import { ioError, messageOf, WisemergeError } from '../../errors.js';

// A row is a fraction of this; a file without line ends would otherwise be held whole.
const maxLineBytes = 2 ** 24;

/** An object of a .jsonl file, and its line, from 1. */
export interface JsonRow {
  readonly row: Record<string, unknown>;
  readonly line: number;
}

/**
 * The objects of a .jsonl file (UTF-8, one JSON object per line); blank lines are skipped. Throws ERR_IO or ERR_DATA
 * naming the line.
 */
export async function* readJsonRows(file: string): AsyncGenerator<JsonRow> {
  let line = 0;
  for await (const text of readLines(file)) {
    line++;
    if (text.trim() !== '') yield { row: parseRow(text, file, line), line };
  }
}

function parseRow(text: string, file: string, line: number): Record<string, unknown> {
  let row: unknown;
  try {
    row = JSON.parse(text);
  } catch (error) {
    const why = messageOf(error);
    throw new WisemergeError('ERR_DATA', `${file} line ${line} is not JSON: ${why}`, {
      file,
      hint: 'Each line holds one JSON object.',
    });
  }
  if (typeof row === 'object' && row !== null && !Array.isArray(row)) return row as Record<string, unknown>;
  throw new WisemergeError('ERR_DATA', `${file} line ${line} is not a JSON object`, {
    file,
    hint: 'Each line holds one object, such as {"label": 3}.',
  });
}

// node:readline also ends lines at U+2028 and U+2029, which JSON allows inside strings.
async function* readLines(file: string): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = '';
  let line = 0;
  try {
    for await (const chunk of createReadStream(file)) {
      const lines = (rest + decoder.decode(chunk as Buffer, { stream: true })).split('\n');
      rest = lines.pop()!;
      if (rest.length > maxLineBytes) {
        throw new WisemergeError(
          'ERR_DATA',
          `${file} line ${line + lines.length + 1} is longer than ${maxLineBytes}`,
          {
            file,
            hint: 'Each line holds one JSON object.',
          },
        );
      }
      line += lines.length;
      yield* lines;
    }
    rest += decoder.decode();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_ENCODING_INVALID_ENCODED_DATA')
      throw ioError(error, 'read', file);
    throw new WisemergeError('ERR_DATA', `${file} after line ${line} is not UTF-8 text`, {
      file,
      hint: 'Save it as UTF-8.',
      cause: error,
    });
  }
  yield rest;
}
