import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { writeWhole } from '../../lib/checkpoint/whole-file.js';
import { type ForwardOptions, forward } from '../../lib/eval/forward.js';
import { devices } from '../../lib/native.js';
import { runCli } from '../support/cli.js';
import { asFloats, fixture, relativeError } from '../support/networks.js';
import { readTensors } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

const ends = (name: string, a: string, b: string) => [
  ...['--zeroshot', fixture(`${name}/${a}`), '--finetuned', fixture(`${name}/${b}`)],
];

/** Every expected tensor of a file is in the other, equal but for rounding. */
function compareFiles(expected: string, out: string): void {
  const results = readTensors(out);
  const wanted = [...readTensors(expected).values()].filter(({ name }) => name.startsWith('alpha_'));
  expect([...results.keys()].sort()).toEqual(wanted.map(({ name }) => name).sort());
  for (const tensor of wanted) {
    const result = results.get(tensor.name)!;
    expect([result.dtype, result.shape]).toEqual([tensor.dtype, tensor.shape]);
    expect(relativeError(asFloats(result), asFloats(tensor)), tensor.name).toBeLessThan(1e-5);
  }
}

describe('wisemerge forward', () => {
  test.each([
    ['clip-tiny', ['zeroshot', 'finetuned'], 'expected', '0,0.3,0.5,1'],
    ['vit-tiny', ['zeroshot', 'finetuned'], 'expected', '0,0.3,0.5,1'],
    ['llama-tiny', ['base', 'a'], 'expected_logits', '0,0.3,1'],
  ] as const)('%s: the file that transformers wrote', async (name, [a, b], file, alpha) => {
    const out = join(await tempDir(), 'out.safetensors');
    const inputs = fixture(`${name}/${file}.safetensors`);
    const args = [...ends(name, a, b), '--alpha', alpha, '--inputs', inputs, '--out', out];
    const { code, stdout, stderr } = await runCli(['forward', ...args]);
    expect(code, stderr).toBe(0);
    compareFiles(inputs, out);
    expect(stdout).toMatch(/^output +shape +value\n/);
    expect(stderr).toContain(out);
    expect(readdirSync(join(out, '..'))).toEqual(['out.safetensors']);
  });

  test('one model: names without alpha, one JSON object', async () => {
    const out = join(await tempDir(), 'out.safetensors');
    const inputs = fixture('llama-tiny/expected_logits.safetensors');
    const model = fixture('llama-tiny/a');
    const args = ['--model', model, '--inputs', inputs, '--out', out, '--json', '--quiet'];
    const { code, stdout, stderr } = await runCli(['forward', ...args]);
    expect([code, stderr]).toEqual([0, '']);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({ architecture: 'llama', file: out });
    const names = result.outputs.map(({ name }: { name: string }) => name);
    expect(names).toEqual(['logits', 'loss']);
    const expected = readTensors(inputs);
    expect(result.outputs[1].value).toBeCloseTo(asFloats(expected.get('alpha_1.loss')!)[0]!, 5);
    const logits = asFloats(readTensors(out).get('logits')!);
    expect(relativeError(logits, asFloats(expected.get('alpha_1.logits')!))).toBeLessThan(1e-5);
  });

  test('--outputs names what is given', async () => {
    const out = join(await tempDir(), 'out.safetensors');
    const path = [...ends('llama-tiny', 'base', 'a'), '--alpha', '0.3'];
    const inputs = fixture('llama-tiny/expected_logits.safetensors');
    const args = [...path, '--inputs', inputs, '--out', out, '--outputs', 'loss'];
    const { code, stderr } = await runCli(['forward', ...args]);
    expect(code, stderr).toBe(0);
    const [loss, ...others] = [...readTensors(out).values()];
    expect([loss!.name, others]).toEqual(['alpha_0.3.loss', []]);
    const expected = readTensors(inputs).get('alpha_0.3.loss')!;
    expect(asFloats(loss!)[0]).toBeCloseTo(asFloats(expected)[0]!, 5);
  });

  test.skipIf(devices().some(({ backend, available }) => backend === 'cuda' && available))(
    'a device that is not there, and what no device does',
    async () => {
      const out = join(await tempDir(), 'out.safetensors');
      const inputs = fixture('vit-tiny/expected.safetensors');
      const args = [
        'forward',
        ...ends('vit-tiny', 'zeroshot', 'finetuned'),
        '--alpha',
        '0.5',
        '--inputs',
        inputs,
      ];
      const run = (...more: string[]) => runCli([...args, '--out', out, ...more]);
      const missing = await run('--device', 'cuda');
      expect([missing.code, missing.stderr]).toEqual([
        6,
        expect.stringMatching(/cuda.*ERR_DEVICE_UNAVAILABLE/),
      ]);
      expect((await run('--device', 'tpu')).stderr).toContain('ERR_USAGE');
      expect((await run('--device', 'cpu', '--precision', 'fast')).stderr).toContain('ERR_USAGE');
      expect(existsSync(out)).toBe(false);
      const { code, stdout, stderr } = await run('--device', 'auto', '--json');
      expect(code, stderr).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ architecture: 'vit', device: 'cpu' });
      expect(stderr).toContain('vit on cpu');
    },
  );

  test('what is wrong is said before anything is written', async () => {
    const root = await tempDir();
    const out = join(root, 'out.safetensors');
    const inputs = fixture('vit-tiny/expected.safetensors');
    const path = ends('vit-tiny', 'zeroshot', 'finetuned');
    const failing = async (args: readonly string[]) => {
      const { code, stderr } = await runCli(['forward', '--out', out, ...args]);
      expect(existsSync(out)).toBe(false);
      return `${code} ${stderr}`;
    };
    expect(await failing(['--inputs', inputs])).toMatch(/^2 .*ERR_USAGE/);
    expect(await failing(['--inputs', inputs, ...path])).toMatch(/^2 .*ERR_USAGE/);
    expect(await failing(['--inputs', inputs, ...path, '--alpha', '2'])).toMatch(/^2 .*ERR_ALPHA_RANGE/);
    const tokens = fixture('llama-tiny/expected_logits.safetensors');
    const wrong = await failing(['--inputs', tokens, ...path, '--alpha', '0.5']);
    expect(wrong).toMatch(/^3 .*\(vit\) takes pixel_values; the inputs are .*ERR_DATA_MISMATCH/);

    const nowhere = join(root, 'nodir', 'out.safetensors');
    const absent = await runCli([
      ...['forward', '--out', nowhere, '--inputs', inputs, ...path, '--alpha', '0.5'],
    ]);
    expect(absent.code).toBe(5);
    expect(absent.stderr).toContain(
      `cannot write ${nowhere}: there is no directory ${join(root, 'nodir')} (ERR_IO)`,
    );
    expect(absent.stderr).toContain('Create');

    writeFileSync(out, 'mine');
    const { code, stderr } = await runCli([
      ...['forward', '--out', out, '--inputs', inputs, ...path, '--alpha', '0.5'],
    ]);
    expect([code, stderr]).toEqual([2, expect.stringContaining('ERR_OUTPUT_EXISTS')]);
    expect(stderr).toContain('--force');
    const forced = await runCli([
      ...['forward', '--out', out, '--inputs', inputs, ...path, '--alpha', '0.5', '--force'],
    ]);
    expect(forced.stderr).toContain('ERR_OUTPUT_NOT_OURS');
    expect(readFileSync(out, 'utf8')).toBe('mine');
    rmSync(out);
    for (const alpha of ['0.5', '0.25']) {
      const again = await runCli([
        ...['forward', '--out', out, '--inputs', inputs, ...path, '--alpha', alpha, '--force'],
      ]);
      expect(again.code, again.stderr).toBe(0);
      expect([...readTensors(out).keys()]).toContain(`alpha_${alpha}.logits`);
    }
  });

  test('does not replace what it reads', async () => {
    const root = await tempDir();
    const head = join(root, 'head.safetensors');
    await writeWhole(head, [{ name: 'head.weight', dtype: 'F32', shape: [1], data: new Uint8Array(4) }], {
      format: 'wisemerge head',
    });
    const before = readFileSync(head);
    const inputs = join(root, 'in.safetensors');
    for (const given of [
      { model: head, inputs },
      { model: root, inputs: head },
    ]) {
      const call = forward({ ...given, out: head, force: true });
      await expect(call).rejects.toMatchObject({ code: 'ERR_OUTPUT_IS_INPUT' });
    }
    expect(readFileSync(head).equals(before)).toBe(true);
  });

  test('a call refuses options that are not its own', async () => {
    const options = { inputs: 'in.safetensors', out: 'out.safetensors', model: 'model' };
    for (const [change, message] of [
      [{ output: ['loss'] }, /output: unknown option/],
      [{ outputs: 'loss' }, /outputs: must be a list of names/],
      [{ outputs: [] }, /outputs: must name one/],
      [{ threads: 0 }, /threads: must be a whole number from 1/],
      [{ device: 'gpu' }, /device: must be auto, cpu/],
      [{ force: 'yes' }, /force: must be true or false/],
    ] as const) {
      const call = forward({ ...options, ...change } as ForwardOptions);
      await expect(call).rejects.toMatchObject({
        code: 'ERR_USAGE',
        message: expect.stringMatching(message),
      });
    }
  });
});
