import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../lib/checkpoint/checkpoint.js';
import { devices } from '../../lib/index.js';
import { runCli, startCli } from '../support/cli.js';
import { sweepProject } from '../support/sweep-project.js';

/** The project's sweep file, with paths relative to it. */
async function sweepFile(change: (text: string) => string = (text) => text) {
  const { directory, options } = await sweepProject();
  const from = (path: string) => relative(directory, path);
  const sets = options.sets.map(({ name, role, kind, features, labels }) =>
    [
      `  - name: ${name}`,
      `role: ${role}`,
      `kind: ${kind}`,
      `features: ${from(features!)}`,
      `labels: ${from(labels!)}`,
    ].join('\n    '),
  );
  const text = [
    `zeroshot: ${from(options.zeroshot)}`,
    `finetuned: ${from(options.finetuned)}`,
    'alphas: 0:1:0.1',
    'replicates: 50',
    'sets:',
    ...sets,
  ].join('\n');
  const path = join(directory, 'sweep.yml');
  await writeFile(path, change(text));
  return { directory, options, path, out: join(directory, 'out') };
}

const withoutTimings = (text: string) => text.replace(/"seconds": [^,\n]+/, '"seconds": 0');

describe('wisemerge sweep', () => {
  test('reads a sweep file, prints the curves and the choice; pick and merge go on from it', async () => {
    const { directory, options, path, out } = await sweepFile();
    const swept = await runCli(['sweep', path, '--out', out]);
    expect(swept.stderr).toContain(`results in ${out}`);
    expect(swept.code).toBe(0);
    expect(swept.stdout).toMatch(/alpha +id \(id, select\) +far \(shift, select\) +kept \(shift, report\)/);
    const chosen = /chosen alpha: (\S+)/.exec(swept.stdout)![1]!;

    const picked = await runCli(['pick', out, '--rule', 'max-shift', '--json']);
    expect(picked.code).toBe(0);
    expect(JSON.parse(picked.stdout).rule).toBe('max-shift');

    const ends = ['--zeroshot', options.zeroshot, '--finetuned', options.finetuned];
    const merged = join(directory, 'merged');
    const merge = await runCli(['merge', ...ends, '--alpha', 'best', '--sweep', out, '--out', merged]);
    expect(merge.code).toBe(0);
    expect(JSON.parse(await readFile(join(merged, 'wisemerge.json'), 'utf8')).alpha).toBe(Number(chosen));
    await using checkpoint = await openCheckpoint(merged);
    expect([...checkpoint.tensors.keys()]).toEqual(['head.weight']);

    const rule = ['--rule', 'fixed:0.9'];
    const other = await runCli(['pick', out, ...rule]);
    expect(other.stderr.trimEnd().split('\n').at(-1)).toBe(
      'to write this model: wisemerge merge --alpha 0.9 --zeroshot … --finetuned … --out …',
    );
    expect((await runCli(['pick', out, ...rule, '--quiet'])).stderr).not.toContain('to write');
    const anew = join(directory, 'anew');
    const best = ['--alpha', 'best', '--sweep', out, '--out', anew, ...ends];
    expect((await runCli(['merge', ...best, ...rule])).code).toBe(0);
    expect(JSON.parse(await readFile(join(anew, 'wisemerge.json'), 'utf8')).alpha).toBe(0.9);
    const lone = await runCli(['merge', ...ends, '--alpha', '0.5', '--out', anew, ...rule]);
    expect(lone).toMatchObject({ code: 2, stderr: expect.stringContaining('--rule goes with --alpha best') });
    const wrong = await runCli(['plan', ...best, '--rule', 'max-luck']);
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('max-luck') });
  });

  test('--no-metrics leaves the curves; without it the file decides', async () => {
    const { path, out } = await sweepFile();
    const curve = await runCli(['sweep', path, '--out', out, '--no-metrics', '--json']);
    expect(curve.code).toBe(0);
    const { sets, likelihood } = JSON.parse(curve.stdout);
    expect(Object.keys(sets[0].metrics[0])).toEqual(['samples', 'top1', 'meanPerClass']);
    expect(likelihood).toBeNull();
    const changed = await runCli(['sweep', path, '--out', out, '--resume']);
    expect(changed.stderr).toContain('ERR_SWEEP_CHANGED');

    const said = await sweepFile((text) => `metrics: false\n${text}`);
    const swept = await runCli(['sweep', said.path, '--out', said.out]);
    expect(swept.code).toBe(0);
    expect(swept.stdout).not.toContain('log-likelihood');
    expect(swept.stdout).toContain('chosen alpha');
    const whole = [
      '--command',
      'true {model}',
      '--set',
      'id:select:id',
      '--out',
      join(said.directory, 'other'),
    ];
    const ends = ['--zeroshot', said.options.zeroshot, '--finetuned', said.options.finetuned];
    const refused = await runCli(['sweep', ...ends, ...whole, '--no-metrics']);
    expect(refused.stderr).toContain('ERR_SWEEP_FILE');
  });

  test('leaves an earlier sweep alone where the device is missing', async ({ skip }) => {
    if (devices().some(({ backend, available }) => backend === 'cuda' && available))
      return skip('there is one');
    const { path, out } = await sweepFile();
    expect((await runCli(['sweep', path, '--out', out])).code).toBe(0);
    const before = await readFile(join(out, 'sweep.json'), 'utf8');
    const { code, stderr } = await runCli(['sweep', path, '--out', out, '--device', 'cuda', '--force']);
    expect(code).toBe(6);
    expect(stderr).toContain('ERR_DEVICE_UNAVAILABLE');
    expect(await readFile(join(out, 'sweep.json'), 'utf8')).toBe(before);
  });

  test('takes everything from flags', async () => {
    const { options, out } = await sweepFile();
    const sets = options.sets.flatMap(({ name, role, kind, features, labels }) => [
      '--set',
      `${name}:${role}:${kind}=${features},${labels}`,
    ]);
    const ends = ['--zeroshot', options.zeroshot, '--finetuned', options.finetuned];
    const { code, stdout } = await runCli([
      'sweep',
      ...ends,
      ...sets,
      '--alphas',
      '0:1:0.5',
      '--rule',
      'max-worst',
      '--replicates',
      '20',
      '--out',
      out,
      '--json',
    ]);
    expect(code).toBe(0);
    const result = JSON.parse(stdout);
    expect(result.alphas).toEqual([0, 0.5, 1]);
    expect(result.analysis.rule).toBe('max-worst');
    expect(result.sets.map(({ name }: { name: string }) => name)).toEqual(['id', 'far', 'kept']);
  });

  test('names line and column of what a sweep file has wrong', async () => {
    const { path, out } = await sweepFile((text) =>
      text.replace('role: report', 'role: test').replace('alphas', 'alpha'),
    );
    const { code, stderr } = await runCli(['sweep', path, '--out', out]);
    expect(code).toBe(2);
    expect(stderr).toContain('sets.2.role');
    expect(stderr).toMatch(/line 17, column 11/);
    expect(stderr).toContain('alpha');
  });

  test('killed at any moment and resumed, it ends with the same sweep.json', {
    timeout: 120_000,
  }, async () => {
    const { directory, path } = await sweepFile();
    const whole = join(directory, 'whole');
    expect((await runCli(['sweep', path, '--out', whole, '--quiet'])).code).toBe(0);
    const expected = withoutTimings(await readFile(join(whole, 'sweep.json'), 'utf8'));
    for (const delay of [150, 250, 350, 450, 550]) {
      const out = join(directory, `killed-${delay}`);
      const { child, done } = startCli(['sweep', path, '--out', out, '--quiet']);
      setTimeout(() => child.kill('SIGKILL'), delay);
      await done;
      const resume = () => runCli(['sweep', path, '--out', out, '--quiet', '--resume']);
      let resumed = await resume();
      if (resumed.code === 75) {
        // Killed before it said whose the directory is: others take it over once 5 s have passed.
        expect(resumed.stderr).toContain('another process is writing this output');
        await new Promise((resolve) => setTimeout(resolve, 5500));
        resumed = await resume();
      }
      expect(resumed.code).toBe(0);
      expect(withoutTimings(await readFile(join(out, 'sweep.json'), 'utf8'))).toBe(expected);
    }
  });

  test('evaluates by a command, and goes on around the best', async () => {
    const { directory, options, out } = await sweepFile();
    const script = join(directory, 'evaluate.sh');
    await writeFile(script, '#!/bin/sh\ntest -d "$1" && echo "{\\"id\\": 0.$2$2, \\"far\\": 0.5}"\n');
    const ends = ['--zeroshot', options.zeroshot, '--finetuned', options.finetuned];
    const sets = ['--set', 'id:select:id', '--set', 'far:report:shift'];
    const command = ['--command', `sh ${script} {model} 7`];
    const flags = ['--alphas', '0:1:0.5', '--search', 'refine', '--tolerance', '0.2', '--out', out, '--json'];
    const swept = await runCli(['sweep', ...ends, ...sets, ...command, ...flags]);
    expect(swept.code).toBe(0);
    const { alphas, analysis, head } = JSON.parse(swept.stdout);
    expect(alphas).toEqual([0, 0.125, 0.25, 0.5, 1]);
    expect(analysis.selection).toMatchObject({ alpha: 0, objective: 0.77 });
    expect(head).toBeNull();
    expect(await readFile(join(out, 'report.html'), 'utf8')).toContain('--command');
  });

  test('watches a directory of checkpoints', async () => {
    const { directory, options, out } = await sweepFile();
    const runs = join(directory, 'runs');
    for (const name of ['epoch_1', 'epoch_2']) {
      await mkdir(join(runs, name), { recursive: true });
      await copyFile(options.finetuned, join(runs, name, 'model.safetensors'));
    }
    const sets = options.sets.flatMap(({ name, role, kind, features, labels }) => [
      '--set',
      `${name}:${role}:${kind}=${features},${labels}`,
    ]);
    const flags = ['--zeroshot', options.zeroshot, '--alphas', '0:1:0.5', '--replicates', '20', '--out', out];
    const watched = await runCli(['sweep', ...flags, ...sets, '--watch', runs, '--until', '2', '--json']);
    expect(watched.code).toBe(0);
    const lines = watched.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ checkpoint, best }) => [checkpoint, best])).toEqual([
      ['epoch_1', true],
      ['epoch_2', false],
    ]);
    expect(lines[0].alpha).toBe(lines[1].alpha);
    expect(await readFile(join(out, 'epoch_2', 'report.html'), 'utf8')).toContain('Why this alpha');
  });

  test('watches with a sweep file that leaves the fine-tuned model out, and refuses one that has it', async () => {
    const { directory, options, path, out } = await sweepFile((text) => text.replace(/^finetuned.*\n/m, ''));
    const runs = join(directory, 'runs');
    await mkdir(join(runs, 'epoch_1'), { recursive: true });
    await copyFile(options.finetuned, join(runs, 'epoch_1', 'model.safetensors'));
    const watch = ['--watch', runs, '--until', '1', '--out', out];
    const watched = await runCli(['sweep', path, ...watch, '--json']);
    expect(watched.code, watched.stderr).toBe(0);
    expect(JSON.parse(watched.stdout)).toMatchObject({ checkpoint: 'epoch_1', best: true });

    const whole = await sweepFile();
    const inFile = await runCli(['sweep', whole.path, ...watch]);
    expect(inFile).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/finetuned in .*sweep\.yml .*--watch/),
    });
    const asFlag = await runCli(['sweep', path, '--finetuned', options.finetuned, ...watch]);
    expect(asFlag).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--finetuned does not go with'),
    });

    const neither = await runCli(['sweep', path, '--out', out]);
    expect(neither).toMatchObject({ code: 2, stderr: expect.stringContaining('a sweep needs --finetuned') });
  });

  test('the command that a report prints makes the same sweep again', async () => {
    const { directory, options, out } = await sweepFile();
    const labels = join(directory, 'labels.csv');
    await writeFile(labels, 'label\n0\n1\n0\n1\n');
    const script = join(directory, 'evaluate.sh');
    await writeFile(script, '#!/bin/sh\necho "{\\"id\\": {\\"correct\\": [1, 0, 1, 1]}}"\n');
    const ends = ['--zeroshot', options.zeroshot, '--finetuned', options.finetuned];
    const set = ['--set', `id:select:id=,${labels}`, '--folds', '2', '--alphas', '0,1', '--replicates', '5'];
    const made = await runCli(['sweep', ...ends, ...set, '--command', `sh ${script} {model}`, '--out', out]);
    expect(made.code).toBe(0);
    const html = await readFile(join(out, 'report.html'), 'utf8');
    const printed = /<pre>(.*?)<\/pre>/s.exec(html)![1]!.replaceAll('&#39;', "'").replaceAll('\\\n', ' ');
    const words = [...printed.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!);
    const again = join(directory, 'again');
    const args = words.slice(1).map((word, i) => (words[i] === '--out' ? again : word));
    expect((await runCli(args)).code).toBe(0);
    const read = async (path: string) => withoutTimings(await readFile(join(path, 'sweep.json'), 'utf8'));
    expect(await read(again)).toBe(await read(out));
  });

  test('usage errors', async () => {
    const { directory, options, path, out } = await sweepFile();
    const failing: [string[], string][] = [
      [['sweep', '--out', out], '--zeroshot'],
      [['sweep', path, '--out', out, '--set', 'id=val.npy'], 'NAME:ROLE:KIND'],
      [['sweep', path, '--out', out, '--rule', 'maximum'], 'maximum'],
      [['sweep', path, '--out', out, '--set', 'val:select:id=val.npy'], 'Set val has features and no labels'],
      [
        ['sweep', path, '--out', out, '--set', 'val:select:id=val.npy,,g.npy'],
        'write val:select:id=val.npy,LABELS',
      ],
      [['sweep', path, '--out', out, '--alphas', '0:1:0'], '--alphas 0:1:0: a step of 0 never leads'],
      [
        ['sweep', path, '--out', out, '--command', 'python eval.py'],
        'the command has no {model} and no {alpha}',
      ],
      [['sweep', path, '--out', out, '--folds', '1'], "option '--folds <n>' argument '1' is invalid"],
      [['sweep', path, '--out', path], 'is a file; the output is a directory (ERR_OUTPUT_EXISTS)'],
      [['pick', directory], '--resume'],
      [['sweep', path, '--out', out, '--until', '2'], '--watch'],
      [['sweep', path, '--out', out, '--watch', directory, '--force'], '--force'],
      [
        [
          'merge',
          '--zeroshot',
          options.zeroshot,
          '--finetuned',
          options.finetuned,
          '--alpha',
          'best',
          '--out',
          out,
        ],
        '--sweep',
      ],
    ];
    for (const [args, text] of failing) {
      const { code, stderr } = await runCli(args);
      expect(stderr).toContain(text);
      expect([2, 3]).toContain(code);
    }
  });
});
