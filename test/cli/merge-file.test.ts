// Merge files on the command line: mergekit's flags, what goes where, exit codes, signals.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { runCli, startCli } from '../support/cli.js';
import { f32, numbers, Workshop } from '../support/merge-file.js';
import { contents } from '../support/models.js';
import { randomWeights } from '../support/random.js';
import { tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

// Of b, layer 0 has no part: 16 bytes of it are not read.
const dare = `merge_method: dare_linear
base_model: $/a
models: [{model: $/b, parameters: {weight: [0, 1], density: 0.5}}]
`;

/** Random numbers, which repeat where there are many. */
function numbersOf(elements: number, seed: number): Float32Array {
  const some = randomWeights(Math.min(elements, 50_000), seed);
  const all = new Float32Array(elements);
  for (let at = 0; at < elements; at += some.length) all.set(some.subarray(0, elements - at), at);
  return all;
}

async function shop(elements = 4): Promise<Workshop> {
  const made = new Workshop(await tempDir());
  for (const [i, name] of ['a', 'b'].entries()) {
    const list = [0, 1].map((k) =>
      tensor(`model.layers.${k}.w`, 'F32', [elements], numbersOf(elements, 10 * i + k)),
    );
    made.model(name, list, { config: { num_hidden_layers: 2 }, files: { 'tokenizer.json': '{}' } });
  }
  return made;
}

describe('merge CONFIG OUT', () => {
  it('writes the model, names it on stdout and speaks on stderr', async () => {
    const made = await shop();
    const [config, out] = [made.config(dare), made.path('out')];
    const { code, stdout, stderr } = await runCli(['merge', config, out]);
    expect(code, stderr).toBe(0);
    expect(stdout).toBe(`${out}\n`);
    expect(stderr).toMatch(/^dare_linear, 2 tensors, 48 B to read, .* to write\n[\d.]+ s, .*\/s\n$/);
    const json = await runCli(['merge', config, out, '--force', '--json', '--quiet']);
    expect(json.stderr).toBe('');
    expect(JSON.parse(json.stdout)).toMatchObject({
      documents: [{ directory: out, nonFinite: {} }],
      bytesRead: 48,
      device: 'cpu',
      warnings: [],
    });
    expect((await runCli(['verify', out])).code).toBe(0);
    const verbose = await runCli(['merge', config, out, '--force', '-v']);
    expect(verbose.stderr).toContain(
      'layer 1 (1): dare_linear normalize=0 rescale=1 lambda=1 of b weight=1 density=0.5',
    );
  });

  it('takes mergekit’s flags, and says once why others change nothing', async () => {
    const made = await shop(3000);
    const config = made.config(dare);
    const run = (out: string, ...flags: string[]) => runCli(['merge', config, made.path(out), ...flags]);
    const plain = await run('one', '--random-seed', '7', '--device', 'cpu', '-j', '2');
    expect(plain.stderr).not.toMatch(/changes nothing/);
    const flags = [
      '--seed=7',
      '--no-cuda',
      '--num-threads',
      '1',
      '--out-shard-size',
      '10K',
      '--no-copy-tokenizer',
      '--no-write-model-card',
      '--safe-serialization',
      '--lazy-unpickle',
      '--low-cpu-memory',
      '--read-to-gpu',
      '--multi-gpu',
      '--gpu-rich',
      '--async-write',
      '--write-threads',
      '3',
      '--allow-crimes',
      '--clone-tensors',
      '--no-trust-remote-code',
      '--lora-merge-cache',
      '/tmp',
      '--lora-merge-dtype',
      'float16',
      '--copy-tokenizer',
      '--no-copy-tokenizer',
    ];
    const other = await run('two', ...flags);
    expect(other.code, other.stderr).toBe(0);
    const notes = other.stderr.split('\n').filter((line) => line.includes('changes nothing'));
    expect(notes.map((line) => line.split(' ')[0]).sort()).toEqual([
      '--allow-crimes',
      '--async-write',
      '--clone-tensors',
      '--gpu-rich',
      '--lazy-unpickle',
      '--lora-merge-cache',
      '--lora-merge-dtype',
      '--low-cpu-memory',
      '--multi-gpu',
      '--no-trust-remote-code',
      '--read-to-gpu',
      '--safe-serialization',
      '--write-threads',
    ]);
    const read = async (name: string) =>
      contents((await import('../support/models.js')).readModel(made.path(name)));
    expect(await read('two')).toEqual(await read('one'));
    expect(readdirSync(made.path('two')).sort()).toEqual([
      'config.json',
      'mergekit_config.yml',
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
      'model.safetensors.index.json',
      'wisemerge.json',
    ]);
    const seeded = await run('three', '--random-seed', '8');
    expect(seeded.code).toBe(0);
    expect(await read('three')).not.toEqual(await read('one'));
  });

  it('records a command that makes the same model again', async () => {
    const made = await shop(3000);
    const config = made.config(dare.replace('dare_linear', 'task_arithmetic').replace(', density: 0.5', ''));
    const flags = [
      '--random-seed',
      '3',
      '--threads',
      '2',
      '--memory',
      '32MiB',
      '--out-shard-size',
      '10K',
      '--compat',
      'mergekit',
    ];
    const out = made.path('out');
    expect((await runCli(['merge', config, out, ...flags, '--force', '--no-write-model-card'])).code).toBe(0);
    const before = contents(made.output());
    const { command } = JSON.parse(readFileSync(made.path('out/wisemerge.json'), 'utf8'));
    const words = [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare);
    expect(words.shift()).toBe('wisemerge');
    expect((await runCli(words)).code).toBe(0);
    expect(contents(made.output())).toEqual(before);
    expect(existsSync(made.path('out/README.md'))).toBe(false);
  });

  it('warns of what the file and the merge have to say', async () => {
    const made = await shop();
    made.model('c', [f32('model.layers.0.w', [4], [Number.NaN, 1, 1, 1])]);
    const config = made.config(
      'merge_method: linear\nparameters: {weight: 010, int8_mask: true}\nmodels: [{model: $/a}, {model: $/c}]\n',
    );
    const { stderr } = await runCli(['merge', config, made.path('out')]);
    expect(stderr).toMatch(/warning: .*merge\.yml:2:22: weight: 010 is 8, being octal/);
    expect(stderr).toMatch(/warning: .*1 tensors are not in .*c: model\.layers\.1\.w/);
    expect(stderr).toMatch(/warning: NaN or infinite elements in model\.layers\.0\.w \(1\)/);
    const quiet = await runCli(['merge', config, made.path('quiet'), '--quiet']);
    expect(quiet.stderr).toMatch(/warning: NaN or infinite elements in model\.layers\.0\.w \(1\)\n$/);
    expect(quiet.stderr).not.toMatch(/to read/);
  });

  it('has the exit codes of every command', async () => {
    const made = await shop();
    const config = made.config(dare);
    const out = made.path('out');
    const fails = async (code: number, text: RegExp, ...args: string[]) => {
      const result = await runCli(args);
      expect([result.code, result.stdout], result.stderr).toEqual([code, '']);
      expect(result.stderr).toMatch(text);
    };
    await fails(2, /missing required argument 'out'/, 'merge', config);
    await fails(2, /required option '--zeroshot <path>'/, 'merge');
    await fails(2, /--alpha does not go with a merge file/, 'merge', config, out, '--alpha', '0.5');
    await fails(2, /--random-seed does not go with two models/, 'merge', '--random-seed', '1');
    await fails(2, /--cuda and --device cpu contradict/, 'merge', config, out, '--cuda', '--device', 'cpu');
    await fails(2, /'pytorch' is invalid.*mergekit/, 'merge', config, out, '--compat', 'pytorch');
    await fails(2, /Write a size such as/, 'merge', config, out, '--out-shard-size', '5X');
    await fails(
      2,
      /merge\.yml:1:15: unknown merge_method "dare"/,
      'merge',
      made.config(dare.replace('_linear', '')),
      out,
    );
    await fails(
      3,
      /cannot be merged/,
      'merge',
      made.config(dare.replace('$/b', '$/x+$/y').replace('base_model: $/a', 'base_model: $/z')),
      out,
    );
    await fails(5, /no such file/, 'merge', made.path('absent.yml'), out);
    expect(existsSync(out)).toBe(false);
  });
});

describe('plan CONFIG', () => {
  it('explains tensors, numbers, bytes, memory and time, and writes nothing', async () => {
    const made = await shop();
    const config = made.config(dare);
    const { code, stdout, stderr } = await runCli(['plan', config]);
    expect([code, stderr]).toEqual([0, '']);
    for (const line of [
      /^method dare_linear: /m,
      /^ {2}layer 0 \(1\): dare_linear normalize=0 rescale=1 lambda=1 of b weight=0 density=0\.5$/m,
      /^ {2}layer 1 \(1\): dare_linear .* of b weight=1 density=0\.5$/m,
      /^differences from mergekit 0\.1\.4\n {2}\S/m,
      /^read +48 B$/m,
      /^write +\S+ kB in 1 file$/m,
      /^memory +105 MB of buffers and tables, in chunks of 2\.10 MB$/m,
      /^copied +config\.json, tokenizer\.json$/m,
      /^time +about (a second|\d+ s), reading at .*\/s from the page cache \(measured on model\.safetensors\)/m,
    ]) {
      expect(stdout).toMatch(line);
    }
    expect(stdout).not.toMatch(/^disk|^output/m);
    const json = await runCli(['plan', config, made.path('out'), '--json']);
    expect(JSON.parse(json.stdout)).toMatchObject({
      out: made.path('out'),
      disk: { needed: 8192 },
      estimate: { cached: true },
      documents: [{ directory: made.path('out'), explanation: { method: 'dare_linear', tensors: 2 } }],
    });
    expect(readdirSync(made.root).sort()).toEqual(['a', 'b', 'merge.yml']);
  });

  it('says what is read again, and what memory would spare it', async () => {
    const made = await shop(3_000_000);
    const ties = made.config(
      'merge_method: ties\nbase_model: $/a\nmodels: [{model: $/b, parameters: {weight: 1, density: 0.5}}]\n',
    );
    const plan = async (...flags: string[]) =>
      JSON.parse((await runCli(['plan', ties, '--json', ...flags])).stdout).documents[0];
    const small = await plan('--memory', '16MiB');
    // Counting and the last pass: one beyond the first.
    expect(small.rereading).toMatchObject({ tensors: 2, bytes: 48e6 });
    expect((await plan('--memory', String(small.rereading.memory))).rereading).toMatchObject({
      tensors: 0,
      bytes: 0,
    });
    const { stdout } = await runCli(['plan', ties, '--memory', '16MiB']);
    expect(stdout).toMatch(
      /read +48\.0 MB, and about 48\.0 MB again for 2 tensors larger than the buffers \(--memory \d+MiB avoids that\)$/m,
    );
  });

  it('fails as merge would', async () => {
    const made = await shop();
    const { code, stdout } = await runCli(['plan', made.config(`${dare}dytpe: x\n`), '--json']);
    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toMatchObject({
      error: { code: 'ERR_MERGE_FILE', details: { problems: [{ line: 4, column: 1 }] } },
    });
  });
});

describe('an interrupt', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('by %s exits with %d and leaves nothing behind', async (signal, code) => {
    const made = await shop(8_000_000);
    const ties = made.config(
      'merge_method: ties\nbase_model: $/a\nmodels: [{model: $/b, parameters: {weight: 1, density: 0.5}}]\n',
    );
    const { child, done } = startCli(['merge', ties, made.path('out'), '--json', '--memory', '16MiB']);
    const weights = made.path('.out.wisemerge-tmp/model.safetensors');
    while (!existsSync(weights) && child.exitCode === null) {
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    child.kill(signal);
    const result = await done;
    expect(result.code, result.stderr).toBe(code);
    expect(JSON.parse(result.stdout)).toMatchObject({ error: { code: 'ERR_ABORTED' } });
    expect(readdirSync(made.root).sort()).toEqual(['a', 'b', 'merge.yml']);
  });
});

describe('flags of mergekit-multi', () => {
  it.each([
    ['--intermediate-dir', ['--intermediate-dir', 'parts', '--out-path', 'whole']],
    ['--intermediate-dir', ['-I', 'parts']],
    ['--out-path', ['--out-path', 'whole']],
  ])('%s is answered with what to write instead', async (flag, flags) => {
    const made = await shop();
    const config = made.config(dare);
    for (const command of ['merge', 'plan']) {
      const { code, stderr } = await runCli([command, config, ...flags]);
      expect([code, stderr]).toEqual([2, expect.stringContaining(`${flag} is not needed here`)]);
      expect(stderr).toContain(`wisemerge ${command} ${config} OUT: documents go to OUT/NAME`);
    }
    expect(readdirSync(made.root).sort()).toEqual(['a', 'b', 'merge.yml']);
  });

  it('--lazy and --no-lazy change nothing', async () => {
    const made = await shop();
    const [config, out] = [made.config(dare), made.path('out')];
    for (const flag of ['--lazy', '--no-lazy']) {
      const { code, stderr } = await runCli(['merge', config, out, '--force', flag]);
      expect([code, stderr]).toEqual([0, expect.stringMatching(new RegExp(`^${flag} changes nothing: `))]);
    }
  });
});

it('the two-model form takes mergekit’s names for what it shares', async () => {
  const made = await shop();
  const out = made.path('out');
  const { code, stderr } = await runCli([
    ...['merge', '--zeroshot', made.path('a'), '--finetuned', made.path('b'), '--alpha', '1', '--out', out],
    ...['--num-threads', '1', '--out-shard-size', '1K', '--lazy-unpickle'],
  ]);
  expect(code, stderr).toBe(0);
  expect(stderr).toMatch(/^--lazy-unpickle changes nothing: /);
  expect(numbers(made.output().get('model.layers.0.w')!)).toHaveLength(4);
});
