// The commands as programs see them: one JSON object on stdout, everything for people on stderr.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { version } from '../../lib/version.js';
import { runCli, startCli } from '../support/cli.js';
import { contents, listFiles, readModel, writeModel } from '../support/models.js';
import { besideInputs, makePair } from '../support/pair.js';
import { readTensors, tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

const fixtures = fileURLToPath(new URL('../fixtures/llama-tiny', import.meta.url));
const [base, a] = [join(fixtures, 'base'), join(fixtures, 'a')];
const pairFlags = ['--zeroshot', base, '--finetuned', a];

/** Runs a command with --json; fails unless stdout is one line with one JSON value. */
async function runJson(args: readonly string[], code = 0) {
  const result = await runCli([...args, '--json']);
  expect(result.code, result.stderr).toBe(code);
  expect(result.stdout).toMatch(/^[{[].*\n$/);
  expect(result.stdout.trimEnd()).not.toContain('\n');
  return { ...result, json: JSON.parse(result.stdout) };
}

describe('merge', () => {
  it('writes the reference result and prints its directories on stdout, remarks on stderr', async () => {
    const out = join(await tempDir(), 'out');
    const { code, stdout, stderr } = await runCli([
      'merge',
      ...pairFlags,
      '--alpha',
      '0.1,0.5',
      '--out',
      out,
    ]);
    expect(code).toBe(0);
    expect(stdout).toBe(`${out}/alpha_0.1000\n${out}/alpha_0.5000\n`);
    expect(stderr).toMatch(/39 tensors, .* to read, .* to write, 2 models\n/);
    const expected = readTensors(join(fixtures, 'expected_lerp.safetensors'));
    for (const [name, { data }] of readModel(join(out, 'alpha_0.5000'))) {
      expect(data.equals(expected.get(`alpha_0.5.${name}`)!.data), name).toBe(true);
    }
  });

  it('prints one JSON object with --json, which agrees with the manifest', async () => {
    const out = join(await tempDir(), 'out');
    const { json, stderr } = await runJson(['merge', ...pairFlags, '--alpha', '0.5', '--out', out]);
    expect(json).toMatchObject({ device: 'cpu', warnings: [], outputs: [{ alpha: 0.5, directory: out }] });
    expect(json.outputs[0].files).toEqual(
      JSON.parse(readFileSync(join(out, 'wisemerge.json'), 'utf8')).files,
    );
    expect(stderr).not.toContain('{');
  });

  it('prints its plan first with --verbose', async () => {
    const out = join(await tempDir(), 'out');
    const merge = ['merge', ...pairFlags, '--alpha', '0.5', '--out', out];
    const { stdout, stderr } = await runCli([...merge, '-v']);
    expect(stdout).toBe(`${out}\n`);
    expect(stderr).toMatch(
      /^zero-shot +.*39 tensors[\s\S]*\ntensors +39 interpolated[\s\S]*\n39 tensors, .* to read/,
    );
    expect((await runCli([...merge, '--force'])).stderr).toMatch(/^39 tensors, /);
  });

  it('says nothing with --quiet but its result', async () => {
    const out = join(await tempDir(), 'out');
    const { stdout, stderr } = await runCli([
      'merge',
      ...pairFlags,
      '--alpha',
      '0.5',
      '--out',
      out,
      '--quiet',
    ]);
    expect({ stdout, stderr }).toEqual({ stdout: `${out}\n`, stderr: '' });
  });

  it('takes every flag, and records a command that makes the same model again', async () => {
    const root = await tempDir();
    const flags = [
      '--dtype',
      'float16',
      '--threads',
      '2',
      '--memory',
      '32MiB',
      '--shard-size',
      '100kB',
      '--device',
      'cpu',
    ];
    const run = (out: string) =>
      runCli([
        'merge',
        ...pairFlags,
        '--alpha',
        '-0.25',
        '--extrapolate',
        '--out',
        join(root, out),
        '--force',
        ...flags,
      ]);
    expect((await run('one')).code).toBe(0);
    const { command } = JSON.parse(readFileSync(join(root, 'one', 'wisemerge.json'), 'utf8'));
    const words = [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare);
    const before = contents(readModel(join(root, 'one')));
    rmSync(join(root, 'one'), { recursive: true });
    expect(words.shift()).toBe('wisemerge');
    expect((await runCli(words)).code).toBe(0);
    expect(contents(readModel(join(root, 'one')))).toEqual(before);
    expect([...readModel(join(root, 'one')).values()].every(({ dtype }) => dtype === 'F16')).toBe(true);
  });

  it('warns of NaN and infinities by tensor', async () => {
    const { root, out } = await makePair();
    const model = writeModel(join(root, 'x'), [
      tensor('w\x1b[31m', 'F32', [2], new Float32Array([Number.NaN, 1])),
    ]);
    const run = (to: string, ...flags: string[]) =>
      runCli(['merge', '--zeroshot', model, '--finetuned', model, '--alpha', '0.5', '--out', to, ...flags]);
    const { stderr } = await run(out);
    expect(stderr).toMatch(/warning: alpha 0.5: NaN or infinite elements in w.* \(1\)/);
    const quiet = await run(`${out}-2`, '--quiet');
    expect(quiet.stderr).toMatch(/^warning: alpha 0.5: NaN or infinite elements in w.* \(1\)\n$/);
    expect(stderr).not.toContain('\x1b');
  });

  it('names skipped files, a line for each reason', async () => {
    const { root, out } = await makePair();
    const model = writeModel(join(root, 'x'), [tensor('w', 'F32', [1])], {
      files: { 'modeling.py': '', 'tf_model.h5': '', 'flax_model.msgpack': '' },
    });
    const { stderr } = await runCli([
      'merge',
      '--zeroshot',
      model,
      '--finetuned',
      model,
      '--alpha',
      '0.5',
      '--out',
      out,
    ]);
    expect(stderr).toMatch(/modeling.py not copied: code is not copied/);
    expect(stderr).toMatch(/flax_model.msgpack, tf_model.h5 not copied: the same model/);
  });
});

describe('plan', () => {
  it('foretells what merge does, to the byte, and writes nothing', async () => {
    const root = await tempDir();
    const out = join(root, 'out');
    const flags = [
      ...pairFlags,
      '--alpha',
      '0:1:0.5',
      '--dtype',
      'float32',
      '--shard-size',
      '200kB',
      '--out',
      out,
    ];
    const { json: plan } = await runJson(['plan', ...flags]);
    expect(besideInputs(root)).toEqual([]);
    const { json: result } = await runJson(['merge', ...flags]);
    expect(result.outputs.map(({ directory }: { directory: string }) => directory)).toEqual(plan.directories);
    expect(result.bytesWritten).toBe(plan.bytesWritten);
    expect(result.bytesRead).toBe(plan.bytesRead);
    let written = 0;
    for (const directory of plan.directories) {
      for (const { name, bytes } of plan.files) {
        expect(readFileSync(join(directory, name)).length).toBe(bytes);
        written += bytes;
      }
      const names = [...plan.files.map(({ name }: { name: string }) => name), ...plan.sidecars, plan.index];
      expect(listFiles(directory)).toEqual([...names, 'README.md', 'wisemerge.json'].sort());
    }
    expect(written).toBe(plan.bytesWritten);
    expect(plan.dtypes).toEqual({ F32: 39 });
    expect(plan.disk.needed).toBeGreaterThanOrEqual(plan.bytesWritten);
  });

  it('describes itself to people', async () => {
    const { code, stdout } = await runCli(['plan', ...pairFlags, '--alpha', '0.5', '--out', '/nowhere/out']);
    expect(code).toBe(0);
    for (const text of [
      base,
      a,
      '39 interpolated, 0 copied',
      '/nowhere/out',
      'model.safetensors.index.json',
      'config.json',
    ]) {
      expect(stdout).toContain(text);
    }
  });

  it('lists what is wrong with alpha and the output beside the plan, and exits with 2', async () => {
    const { json } = await runJson(['plan', ...pairFlags, '--alpha', '3', '--out', base], 2);
    expect(json.problems.map(({ code }: { code: string }) => code)).toEqual([
      'ERR_ALPHA_RANGE',
      'ERR_OUTPUT_IS_INPUT',
      'ERR_OUTPUT_EXISTS',
    ]);
    const { code, stdout, stderr } = await runCli([
      'plan',
      ...pairFlags,
      '--alpha',
      '0.5',
      '--out',
      fixtures,
    ]);
    expect(code).toBe(2);
    expect(stdout).toContain('39 interpolated');
    expect(stderr).toMatch(/^error: merge would refuse: 2 problems[\s\S]*contains the input[\s\S]*exists/);
  });

  it('lists problems in the JSON and exits with 3', async () => {
    const { root, out } = await makePair();
    const other = writeModel(join(root, 'other'), [tensor('v', 'F32', [1])]);
    const flags = ['--zeroshot', join(root, 'x'), '--finetuned', other, '--alpha', '0.5', '--out', out];
    const { json } = await runJson(['plan', ...flags], 3);
    expect(json.problems).toHaveLength(2);
    const text = await runCli(['plan', ...flags]);
    expect(text.code).toBe(3);
    expect(text.stdout).toContain('tensors');
    expect(text.stderr).toMatch(/2 problems[\s\S]*"w"[\s\S]*"v"/);
  });
});

describe('inspect', () => {
  it('lists tensors with dtype, shape, bytes and file', async () => {
    const { json } = await runJson(['inspect', base]);
    const stored = readModel(base);
    expect(json).toMatchObject({ parameters: expect.any(Number), modelType: 'llama' });
    expect(json.files.map(({ name }: { name: string }) => name)).toHaveLength(3);
    expect(json.tensors).toHaveLength(stored.size);
    for (const { name, dtype, shape, bytes, offset } of json.tensors) {
      const { data, ...known } = stored.get(name)!;
      expect({ name, dtype, shape, offset, bytes }).toEqual({ ...known, bytes: data.length });
    }
    const { stdout } = await runCli(['inspect', base]);
    expect(stdout).toMatch(/lm_head.weight +BF16 +\[160, 64\] +20.5 kB/);
    expect(stdout).toMatch(/llama, 3 files, 39 tensors/);
  });

  it('passes no control characters of names to the terminal', async () => {
    const model = writeModel(join(await tempDir(), 'm'), [
      tensor('evil\x1b]0;title\x07\x1b[2J\r\n', 'F32', [1]),
    ]);
    const { stdout } = await runCli(['inspect', model]);
    expect(stdout.replaceAll('\n', '')).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
  });
});

describe('diff', () => {
  it('prints a table, or the whole result with --json', async () => {
    const { json } = await runJson(['diff', base, a, '--memory', '9MiB', '--threads', '1']);
    expect(json.tensors).toHaveLength(39);
    const { stdout } = await runCli(['diff', base, a]);
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^tensor +‖Δ‖\/‖x‖ +cosine/);
    expect(lines).toHaveLength(41);
    expect(lines.at(-1)).toMatch(new RegExp(`^all +${json.total.relativeL2.toPrecision(4)}`));
  });
});

describe('verify', () => {
  it('passes an intact output and exits with 3 for a damaged one', async () => {
    const { zeroshot, finetuned, out } = await makePair();
    await runCli(['merge', '--zeroshot', zeroshot, '--finetuned', finetuned, '--alpha', '0.5', '--out', out]);
    expect(await runCli(['verify', out])).toMatchObject({ code: 0, stdout: `ok  ${out}  1 file\n` });
    const path = join(out, 'model.safetensors');
    const content = readFileSync(path);
    content[5000]! ^= 4;
    writeFileSync(path, content);
    const { json } = await runJson(['verify', out], 3);
    expect(json[0].problems).toHaveLength(1);
    expect((await runCli(['verify', out])).stdout).toMatch(/^damaged {2}.*\n {2}model.safetensors has XXH3/);
  });
});

describe('doctor', () => {
  it('reports the addon, devices or the reasons for none, memory and disk', async () => {
    const root = await tempDir();
    const { json } = await runJson(['doctor', '--disk', root]);
    expect(json).toMatchObject({ wisemerge: version, node: process.version, disk: { directory: root } });
    expect(json.devices[0]).toMatchObject({
      backend: 'cpu',
      available: true,
      isa: expect.stringMatching(/avx|baseline/),
    });
    for (const device of json.devices) if (!device.available) expect(device.reason).toMatch(/\w{3}/);
    expect(json.disk.write).toBeGreaterThan(0);
    expect(json.disk.read).toBeGreaterThan(0);
    expect(listFiles(root)).toEqual([]);
  });

  it('ends at Ctrl-C and leaves nothing behind', async () => {
    const root = await tempDir();
    const { child, done } = startCli(['doctor', '--disk', root]);
    await new Promise<void>((go) => {
      let text = '';
      child.stderr!.on('data', (more: string) => {
        text += more;
        if (text.includes('measuring')) go();
      });
    });
    child.kill('SIGINT');
    expect(await done).toMatchObject({ code: 130, stdout: '' });
    expect(readdirSync(root)).toEqual([]);
  });
});

describe('demo', () => {
  it('says what is wrong before it trains anything', async () => {
    expect((await runJson(['demo', '--seeds', '1'], 2)).json.error.code).toBe('ERR_USAGE');
    const out = await tempDir();
    writeFileSync(join(out, 'notes.txt'), 'mine');
    const taken = await runJson(['demo', '--out', out], 2);
    expect(taken.json.error.code).toBe('ERR_OUTPUT_EXISTS');
  });
});

describe('help and version', () => {
  it('go to stdout and are no failures', async () => {
    const help = await runCli(['--help']);
    expect(help).toMatchObject({ code: 0, stderr: '' });
    for (const command of ['merge', 'plan', 'inspect', 'diff', 'verify', 'doctor', 'demo'])
      expect(help.stdout).toContain(`  ${command} `);
    expect(help.stdout).toContain('Exit codes');
    expect(await runCli(['--version'])).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: '' });
    const merge = await runCli(['merge', '--help']);
    expect(merge.code).toBe(0);
    for (const flag of ['--zeroshot', '--alpha', '--shard-size', '--extrapolate'])
      expect(merge.stdout).toContain(flag);
  });

  it.each(['merge', 'plan'])('%s shows its two forms, and which flags belong to which', async (command) => {
    const { stdout } = await runCli([command, '--help']);
    expect(stdout).toMatch(
      new RegExp(`^Usage: wisemerge ${command} .*--zeroshot[^]*\n +wisemerge ${command} .*<config> <out>`),
    );
    const flags = (heading: string) =>
      [
        ...stdout
          .split(`\n${heading}:\n`)[1]!
          .split('\n\n')[0]!
          .matchAll(/^ {2}(?:-\w, )?--([\w-]+)/gm),
      ].map(([, name]) => name);
    expect(flags('Two models')).toEqual(
      expect.arrayContaining(['zeroshot', 'finetuned', 'alpha', 'out', 'dtype', 'extrapolate']),
    );
    expect(flags('Merge file')).toEqual(
      expect.arrayContaining(['random-seed', 'compat', 'transformers-cache']),
    );
    expect(flags('Options')).toEqual(
      expect.arrayContaining([
        'device',
        'threads',
        'memory',
        'shard-size',
        'force',
        'verbose',
        'cuda',
        'json',
      ]),
    );
  });
});
