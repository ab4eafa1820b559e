import { join } from 'node:path';
import type { Tokenizer } from '@huggingface/tokenizers';
import { xxh3 } from '@node-rs/xxhash';
import type { Checkpoint } from '../../checkpoint/checkpoint.js';
import { ioError, messageOf, WisemergeError } from '../../errors.js';
import { readTextFile } from '../../files/read-whole.js';
import { hexDigest } from '../../hex-digest.js';

/** A text of at most so many tokens. */
export interface FittedText {
  readonly ids: number[];
  /** Tokens were left out. */
  readonly truncated: boolean;
  /** Special tokens stand behind the text, such as CLIP's end of text. */
  readonly closed: boolean;
}

const tokenizerName = 'tokenizer.json';
const configName = 'tokenizer_config.json';

/** Turns text into the numbers of a model's tokens, by the `tokenizer.json` beside its weights. */
export class TextTokenizer {
  readonly #tokenizer: Tokenizer;
  readonly #path: string;
  /** XXH3-64 of both files, 16 hex digits. */
  readonly hash: string;

  private constructor(tokenizer: Tokenizer, path: string, hash: string) {
    this.#tokenizer = tokenizer;
    this.#path = path;
    this.hash = hash;
  }

  /** Throws ERR_CONFIG where there is no tokenizer, or none of a kind that is read, and ERR_IO. */
  static async open({ directory, path }: Checkpoint): Promise<TextTokenizer> {
    if (directory === undefined) throw noTokenizer(path, 'a file without a directory of its own');
    const file = join(directory, tokenizerName);
    const source = await readOptional(file);
    if (source === undefined) throw noTokenizer(path, `there is no ${tokenizerName}`);
    const config = await readOptional(join(directory, configName));
    const { Tokenizer } = await import('@huggingface/tokenizers');
    const hash = xxh3.Xxh3.withSeed();
    hash.update(JSON.stringify([source, config ?? null]));
    try {
      const tokenizer = new Tokenizer(JSON.parse(source), JSON.parse(config ?? '{}'));
      return new TextTokenizer(tokenizer, file, hexDigest(hash));
    } catch (error) {
      throw new WisemergeError('ERR_CONFIG', `${file} is not a readable tokenizer: ${messageOf(error)}`, {
        file,
        hint: 'Save it with save_pretrained of a fast tokenizer of transformers.',
        cause: error,
      });
    }
  }

  /** With the special tokens that the tokenizer adds. Throws ERR_DATA. */
  encode(text: string): number[] {
    return this.#encode(text, true);
  }

  /** Behind a token, if one is given, and with no other special token, whatever the tokenizer adds by itself. Throws ERR_DATA. */
  encodeBehind(token: string | undefined, text: string): number[] {
    if (token === undefined) return this.#encode(text, false);
    const first = this.#tokenizer.token_to_id(token)!;
    // As one text, so that what the tokenizer does at the beginning of texts it does not do behind the token; only an
    // added token is found in a text.
    if (this.#tokenizer.get_added_tokens_decoder().has(first)) return this.#encode(token + text, false);
    return [first, ...this.#encode(text, false)];
  }

  has(token: string): boolean {
    return this.#tokenizer.token_to_id(token) !== undefined;
  }

  /** The token that the tokenizer puts in front of texts by itself. */
  get opening(): string | undefined {
    const [begun, bare] = [true, false].map(
      (special) => this.#tokenizer.encode('a', { add_special_tokens: special }).tokens,
    ) as [string[], string[]];
    return begun.length > bare.length && begun[0] !== bare[0] ? begun[0] : undefined;
  }

  /**
   * As `encode`, in at most `longest` tokens: what is too long loses the end of its text, not the special tokens
   * around it. Throws ERR_DATA.
   */
  encodeWithin(text: string, longest: number): FittedText {
    const ids = this.#encode(text, true);
    const bare = this.#encode(text, false);
    const before = placeOf(bare, ids);
    const after = ids.length - before - bare.length;
    const closed = after > 0;
    if (ids.length <= longest) return { ids, truncated: false, closed };
    const kept = longest - after;
    return {
      ids: [...ids.slice(0, Math.max(0, kept)), ...ids.slice(before + bare.length)].slice(0, longest),
      truncated: true,
      closed,
    };
  }

  #encode(text: string, special: boolean): number[] {
    const { ids }: { ids: number[] } = this.#tokenizer.encode(text, { add_special_tokens: special });
    const lost = ids.findIndex((id) => !Number.isInteger(id));
    if (lost < 0) return ids;
    throw new WisemergeError(
      'ERR_DATA',
      `${this.#path} has no token for a part of ${JSON.stringify(text.slice(0, 80))}, and none for what is unknown`,
      { file: this.#path, hint: 'Give text in a language that the tokenizer was made for.' },
    );
  }
}

/** Where a text begins among its special tokens. */
function placeOf(bare: readonly number[], ids: readonly number[]): number {
  for (let at = 0; at + bare.length <= ids.length; at++) {
    if (bare.every((id, i) => ids[at + i] === id)) return at;
  }
  return 0;
}

async function readOptional(path: string): Promise<string | undefined> {
  return await readTextFile(path).catch((error) => {
    if (error.code === 'ENOENT') return undefined;
    throw ioError(error, 'read', path);
  });
}

function noTokenizer(path: string, why: string): WisemergeError {
  return new WisemergeError('ERR_CONFIG', `${path} has no tokenizer: ${why}`, {
    file: path,
    hint: `Put ${tokenizerName} (and ${configName}) beside the weights, as save_pretrained of transformers does.`,
  });
}
