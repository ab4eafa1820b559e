import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { devices } from '../../lib/index.js';
import { runCli } from '../support/cli.js';
import { writeModel, writeShards } from '../support/models.js';
import { makePair, type Pair } from '../support/pair.js';
import { tensor } from '../support/safetensors.js';

const mergeArgs = ({ zeroshot, finetuned, out }: Pair, ...more: string[]): string[] => [
  ...['merge', '--zeroshot', zeroshot, '--finetuned', finetuned, '--out', out],
  ...(more.includes('--alpha') ? [] : ['--alpha', '0.5']),
  ...more,
];

/** Without --json the error is on stderr alone; with it also on stdout, as one object. */
async function expectFailure(
  args: readonly string[],
  code: number,
  error: string,
  text: RegExp,
): Promise<void> {
  const plain = await runCli(args);
  expect(plain.code, plain.stderr).toBe(code);
  expect(plain.stdout).toBe('');
  expect(plain.stderr).toMatch(text);
  expect(plain.stderr).not.toMatch(/\n {4}at /);
  const { stdout, code: jsonCode } = await runCli([...args, '--json', '--quiet']);
  expect(jsonCode).toBe(code);
  expect(stdout.trimEnd()).not.toContain('\n');
  expect(JSON.parse(stdout)).toMatchObject({ error: { code: error, message: expect.any(String) } });
}

describe('exit code 2', () => {
  const usage: [string, string[], string, RegExp][] = [
    ['an alpha out of range', ['--alpha', '1.5'], 'ERR_ALPHA_RANGE', /--extrapolate/],
    ['an alpha that is no number', ['--alpha', 'half'], 'ERR_USAGE', /"half" is not a number/],
    ['a size without a unit that exists', ['--memory', '5 bananas'], 'ERR_USAGE', /Write a size such as/],
    ['too little memory', ['--memory', '1MiB'], 'ERR_USAGE', /memory/],
    ['half a thread', ['--threads', '0.5'], 'ERR_USAGE', /Write a whole number/],
    ['an unknown dtype', ['--dtype', 'int8'], 'ERR_USAGE', /bfloat16/],
    ['an unknown device', ['--device', 'tpu'], 'ERR_USAGE', /must be auto, cpu, cuda/],
    ['an unknown flag', ['--aplha', '1'], 'ERR_USAGE', /unknown option '--aplha'/],
    ['a shard size of nothing', ['--shard-size', '0'], 'ERR_USAGE', /shardSize/],
  ];
  it.each(usage)('is for %s', async (_name, flags, error, text) => {
    const pair = await makePair();
    await expectFailure(mergeArgs(pair, ...flags), 2, error, text);
    expect(existsSync(pair.out)).toBe(false);
  });

  it('has its code in the text, wherever an error is found', async () => {
    const pair = await makePair();
    const cases: [string[], RegExp][] = [
      [
        mergeArgs(pair, '--memory', 'abc'),
        /^error: option '--memory <size>' argument 'abc' is invalid\. .*\(ERR_USAGE\)\n/,
      ],
      [
        mergeArgs(pair, '--aplha', '1'),
        /^error: unknown option '--aplha' \(ERR_USAGE\)\n\(Did you mean --alpha\?\)\n/,
      ],
      [['inspect'], /^error: missing required argument 'path' \(ERR_USAGE\)\n/],
      [['inspect', '--\x1b[2J'], /^error: unknown option '--[^\x1b]*' \(ERR_USAGE\)\n/],
    ];
    for (const [args, text] of cases) {
      const { code, stderr } = await runCli(args);
      expect(stderr).toMatch(text);
      expect(code).toBe(2);
    }
  });

  it('is for a flag with a value that is given more than once', async () => {
    const pair = await makePair();
    const twice: [string[], string][] = [
      [mergeArgs(pair, '--alpha', '0.5', '--alpha', '0.6'), '--alpha <values>'],
      [mergeArgs(pair, '--threads=1', '-j', '1'), '-j, --threads <n>'],
      [['doctor', '--disk', '.', '--disk', '.'], '--disk <directory>'],
    ];
    for (const [args, flag] of twice) {
      await expectFailure(
        args,
        2,
        'ERR_USAGE',
        new RegExp(`^error: option '${flag}' is given more than once \\(ERR_USAGE\\)\n.*Keep one`),
      );
    }
    expect(existsSync(pair.out)).toBe(false);
    expect((await runCli(mergeArgs(pair, '--quiet', '--quiet', '--force', '--force'))).code).toBe(0);
  });

  it('is for flags that contradict each other', async () => {
    const pair = await makePair();
    const shards = ['--shard-size', '1MB', '--out-shard-size', '2MB'];
    await expectFailure(
      mergeArgs(pair, ...shards),
      2,
      'ERR_USAGE',
      /--shard-size and --out-shard-size contradict each other: 1000000 and 2000000 .*\n.*Keep one/,
    );
    const threads = ['--threads', '1', '--num-threads', '2'];
    await expectFailure(
      mergeArgs(pair, ...threads),
      2,
      'ERR_USAGE',
      /--threads and --num-threads contradict/,
    );
    expect((await runCli(mergeArgs(pair, '--shard-size', '1MB', '--out-shard-size', '1000K'))).code).toBe(0);
  });

  it('is for a missing flag, command or argument', async () => {
    await expectFailure(['merge', '--alpha', '0.5'], 2, 'ERR_USAGE', /required option '--zeroshot <path>'/);
    await expectFailure(['mrege'], 2, 'ERR_USAGE', /unknown command 'mrege'/);
    await expectFailure(['inspect'], 2, 'ERR_USAGE', /missing required argument 'path'/);
    expect((await runCli([])).code).toBe(2);
  });

  it('is for an output that exists, or is not ours, or is an input', async () => {
    const pair = await makePair();
    mkdirSync(pair.out);
    writeFileSync(join(pair.out, 'x'), '');
    await expectFailure(mergeArgs(pair), 2, 'ERR_OUTPUT_EXISTS', /exists.*\n.*--force/);
    await expectFailure(mergeArgs(pair, '--force'), 2, 'ERR_OUTPUT_NOT_OURS', /was not written by wisemerge/);
    await expectFailure(
      mergeArgs({ ...pair, out: pair.zeroshot }),
      2,
      'ERR_OUTPUT_IS_INPUT',
      /contains the input/,
    );
  });
});

describe('exit code 3', () => {
  it('is for incompatible models, with all problems', async () => {
    const pair = await makePair();
    writeModel(pair.finetuned, [tensor('v', 'F32', [1])]);
    await expectFailure(
      mergeArgs(pair),
      3,
      'ERR_INCOMPATIBLE',
      /^error: the inputs cannot be merged: 2 problems/,
    );
  });

  it('is for damaged, hostile or missing weights', async () => {
    const pair = await makePair();
    const path = join(pair.finetuned, 'model.safetensors');
    writeFileSync(path, readFileSync(path).subarray(0, -1));
    await expectFailure(mergeArgs(pair), 3, 'ERR_SAFETENSORS_OFFSETS', /model\.safetensors/);
    await expectFailure(['inspect', pair.root], 3, 'ERR_NOT_A_CHECKPOINT', /holds no weights/);
    const index = { weight_map: { w: '../../etc/passwd' } };
    const hostile = writeShards(join(pair.root, 'h'), [[tensor('w', 'F32', [1])]], { index: () => index });
    await expectFailure(['inspect', hostile], 3, 'ERR_INDEX', /not a plain file name/);
    await expectFailure(['verify', pair.zeroshot], 3, 'ERR_MANIFEST', /wisemerge.json/);
  });

  it('is told without letting names reach the terminal raw', async () => {
    const pair = await makePair();
    const index = { weight_map: { 'evil\x1b[2J\x07': '../x' } };
    const hostile = writeShards(join(pair.root, 'h'), [[tensor('w', 'F32', [1])]], { index: () => index });
    const { stderr } = await runCli(['inspect', hostile]);
    expect(stderr).toContain('evil');
    expect(stderr.replaceAll('\n', '')).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
  });
});

describe('exit code 5', () => {
  it('is for paths that cannot be read or written', async () => {
    const pair = await makePair();
    await expectFailure(
      ['inspect', join(pair.root, 'absent')],
      5,
      'ERR_IO',
      /cannot open .*absent: no such file/,
    );
    writeFileSync(join(pair.root, 'file'), '');
    await expectFailure(mergeArgs({ ...pair, out: join(pair.root, 'file', 'out') }), 5, 'ERR_IO', /cannot/);
  });
});

describe('exit code 6', () => {
  it('is for a device that is not there, with the reason', async ({ skip }) => {
    if (devices().some(({ backend, available }) => backend === 'cuda' && available))
      return skip('there is one');
    const pair = await makePair();
    await expectFailure(mergeArgs(pair, '--device', 'cuda'), 6, 'ERR_DEVICE_UNAVAILABLE', /cuda|CUDA/);
    expect(existsSync(pair.out)).toBe(false);
  });
});

describe('exit code 75', () => {
  it('is for an output that another process writes', async () => {
    const pair = await makePair();
    const directory = join(pair.root, '.out.wisemerge-tmp');
    mkdirSync(directory);
    writeFileSync(join(directory, '.owner.json'), JSON.stringify({ pid: process.pid, host: hostname() }));
    await expectFailure(mergeArgs(pair), 75, 'ERR_OUTPUT_BUSY', new RegExp(`process ${process.pid} on`));
  });
});
