// Every seed that the library takes is one that the command line takes.
import { expect, it } from 'vitest';
import { parseSeed } from '../../lib/cli/arguments.js';
import { checkExtractOptions } from '../../lib/merge/lora/extract-options.js';
import { checkMergeFileOptions } from '../../lib/merge/many/options.js';
import { checkMoeOptions } from '../../lib/moe/options.js';

const largest = 2 ** 32 - 1;

it.each([
  ['mergeFile', (seed: number) => checkMergeFileOptions({ config: 'c', out: 'o', seed })],
  ['assembleMoe', (seed: number) => checkMoeOptions({ config: 'c', out: 'o', seed })],
  [
    'extractLora',
    (seed: number) => checkExtractOptions({ base: 'b', finetuned: 'f', out: 'o', rank: 1, seed }),
  ],
  ['the command line', (seed: number) => parseSeed(String(seed))],
])('of %s ends at 2^32 - 1', (_, check) => {
  for (const seed of [0, 1, largest]) expect(() => check(seed)).not.toThrow();
  for (const seed of [-1, 0.5, largest + 1, Number.MAX_SAFE_INTEGER]) {
    expect(() => check(seed), String(seed)).toThrow(/whole number from 0 to 4294967295/);
  }
});
