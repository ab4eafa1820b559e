// `wisemerge moe` with the flags of mergekit-moe: those that mean something, and why others change nothing.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runCli } from '../support/cli.js';
import { contents, readModel } from '../support/models.js';
import { moeProject } from '../support/moe-project.js';

/** A mixture of random routers, which depend on the seed. */
async function shop(mode = 'random') {
  const { root, write } = await moeProject(mode, { tokenizerConfig: { bos_token: '<s>' } });
  const config = write(['a', 'b']);
  const path = (name: string) => join(root, name);
  const run = (out: string, ...flags: string[]) => runCli(['moe', config, path(out), ...flags]);
  return { path, run, config };
}

describe('flags of mergekit-moe', () => {
  it('mean what they mean there, or are answered once with the reason why they change nothing', async () => {
    const { path, run } = await shop();
    const plain = await run('one', '--seed', '7', '-j', '2', '--shard-size', '100kB');
    expect(plain.code, plain.stderr).toBe(0);
    expect(plain.stderr).not.toContain('changes nothing');
    const other = await run(
      ...['two', '--random-seed=7', '--no-cuda', '--device', 'cpu', '--num-threads', '1'],
      ...['--out-shard-size', '100K', '--no-copy-tokenizer', '--no-write-model-card', '--safe-serialization'],
      ...[
        '--lazy-unpickle',
        '--low-cpu-memory',
        '--read-to-gpu',
        '--multi-gpu',
        '--gpu-rich',
        '--async-write',
      ],
      ...['--write-threads', '3', '--allow-crimes', '--clone-tensors', '--no-trust-remote-code'],
      ...['--lora-merge-cache', '/tmp', '--lora-merge-dtype', 'float16', '--load-in-4bit', '--load-in-8bit'],
      '--i-understand-this-is-not-useful-without-training',
    );
    expect(other.code, other.stderr).toBe(0);
    const notes = other.stderr.split('\n').filter((line) => line.includes('changes nothing'));
    expect(notes.map((line) => line.split(' ')[0]).sort()).toEqual([
      '--allow-crimes',
      '--async-write',
      '--clone-tensors',
      '--gpu-rich',
      '--i-understand-this-is-not-useful-without-training',
      '--lazy-unpickle',
      '--load-in-4bit',
      '--load-in-8bit',
      '--lora-merge-cache',
      '--lora-merge-dtype',
      '--low-cpu-memory',
      '--multi-gpu',
      '--no-trust-remote-code',
      '--read-to-gpu',
      '--safe-serialization',
      '--write-threads',
    ]);
    expect(contents(readModel(path('two')))).toEqual(contents(readModel(path('one'))));
    const only = (list: string[], others: string[]) => list.filter((name) => !others.includes(name)).sort();
    const [one, two] = [readdirSync(path('one')), readdirSync(path('two'))];
    expect(only(one, two)).toEqual(['README.md', 'tokenizer.json', 'tokenizer_config.json']);
    expect(only(two, one)).toEqual([]);
    const quiet = await run('three', '--copy-tokenizer', '--write-model-card', '--lazy-unpickle', '--quiet');
    expect([quiet.code, quiet.stderr]).toEqual([0, '']);
    expect(readdirSync(path('three')).sort()).toEqual(
      expect.arrayContaining(['README.md', 'tokenizer.json']),
    );
    expect(contents(readModel(path('three')))).not.toEqual(contents(readModel(path('one'))));
  });

  it('are part of the recorded command, which makes the same mixture again', async () => {
    const { path, run } = await shop('cheap_embed');
    const flags = ['--random-seed', '3', '--device', 'cpu', '--no-copy-tokenizer', '--no-write-model-card'];
    expect((await run('out', ...flags, '--force')).code).toBe(0);
    const before = contents(readModel(path('out')));
    const { command } = JSON.parse(readFileSync(path('out/wisemerge.json'), 'utf8'));
    const words = command.split(' ').slice(1);
    expect(words).toEqual(expect.arrayContaining(['--no-copy-tokenizer', '--no-write-model-card', '--seed']));
    expect((await runCli(words)).code).toBe(0);
    expect(contents(readModel(path('out')))).toEqual(before);
    expect(existsSync(path('out/README.md'))).toBe(false);
  });

  it('with -v the plan is told before it is carried out', async () => {
    const { run } = await shop();
    const { code, stderr } = await run('out', '-v');
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/^routers +random$/m);
  });

  it('that contradict each other are an error', async () => {
    const { path, run } = await shop('hidden');
    const fails = async (text: RegExp, ...flags: string[]) => {
      const { code, stderr } = await run('out', ...flags);
      expect([code, stderr]).toEqual([2, expect.stringMatching(text)]);
    };
    await fails(/--cuda and --device cpu contradict/, '--cuda', '--device', 'cpu');
    await fails(
      /--random-seed and --seed contradict each other: 1 and 2/,
      '--random-seed',
      '1',
      '--seed',
      '2',
    );
    await fails(/--threads and --num-threads contradict/, '--threads', '1', '--num-threads', '2');
    await fails(/device: must be auto, cpu, cuda or cuda:N/, '--device', 'tpu');
    const absent = await run('out', '--device', 'cuda:99');
    expect([absent.code, absent.stderr]).toEqual([6, expect.stringContaining('ERR_DEVICE_UNAVAILABLE')]);
    expect(existsSync(path('out'))).toBe(false);
  });
});
