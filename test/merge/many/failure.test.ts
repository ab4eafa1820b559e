// A merge file that is wrong, or a merge that stops half-way: one typed error, and nothing left behind.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ProgressMeter } from '../../../lib/checkpoint/progress.js';
import type { MergeFileOptions, MergeFileRunOptions } from '../../../lib/index.js';
import { hostBufferBytes } from '../../../lib/native.js';
import { f32, Workshop } from '../../support/merge-file.js';
import { randomF32 } from '../../support/random.js';
import { tensor } from '../../support/safetensors.js';
import { tempDir } from '../../support/temp.js';

const tensors = 24;
const elements = 100_000;

const text = `merge_method: ties
base_model: $/base
models: [{model: $/a}, {model: $/b}]
parameters: {weight: 0.5, density: 0.5}
`;

/** Many tensors each, so that some are done while others are to come. */
const models = ['base', 'a', 'b'].map((name, seed) => {
  const list = Array.from({ length: tensors }, (_, i) =>
    tensor(`w.${i}`, 'F32', [elements], randomF32(elements, 100 * seed + i)),
  );
  return { name, list };
});

async function shop(): Promise<Workshop> {
  const made = new Workshop(await tempDir());
  for (const { name, list } of models) made.model(name, list);
  return made;
}

/** Calls `action` once, when the first tensor has been written and others are under way. */
function midway(action: () => void): void {
  const add = vi.spyOn(ProgressMeter.prototype, 'add');
  onTestFinished(() => add.mockRestore());
  add.mockImplementationOnce(() => action());
}

const beside = (root: string): string[] =>
  readdirSync(root)
    .filter((name) => !['base', 'a', 'b', 'merge.yml'].includes(name))
    .sort();

async function expectNothingLeft(
  made: Workshop,
  options: Partial<MergeFileOptions> & MergeFileRunOptions,
  error: object,
): Promise<void> {
  const before = hostBufferBytes();
  await expect(made.merge(text, { memory: 2 ** 24, ...options })).rejects.toMatchObject(error);
  expect(beside(made.root)).toEqual([]);
  expect(hostBufferBytes()).toBe(before);
}

describe('an abort', () => {
  it('before the start, after the plan, half-way and at the end leaves nothing behind', async () => {
    const made = await shop();
    const reason = { name: 'my own reason' };
    await expectNothingLeft(made, { signal: AbortSignal.abort(reason) }, reason);
    const planned = new AbortController();
    await expectNothingLeft(made, { signal: planned.signal, onPlan: () => planned.abort(reason) }, reason);
    const half = new AbortController();
    midway(() => half.abort(reason));
    await expectNothingLeft(made, { signal: half.signal }, reason);
    const late = new AbortController();
    const onProgress: MergeFileRunOptions['onProgress'] = ({ phase }) => {
      if (phase === 'finish') late.abort(reason);
    };
    await expectNothingLeft(made, { signal: late.signal, onProgress }, reason);
  });
});

describe('an input', () => {
  const weights = (made: Workshop) => made.path('b/model.safetensors');

  it.each(['direct', 'cached'] as const)(
    'that is cut off while it is read %s is an error',
    async (readMode) => {
      const made = await shop();
      midway(() => truncateSync(weights(made), 1_000_001));
      await expectNothingLeft(made, { readMode }, { code: 'ERR_INPUT_CHANGED', file: weights(made) });
    },
  );

  it('that is extended or removed meanwhile is an error', async () => {
    const made = await shop();
    midway(() => appendFileSync(weights(made), 'x'));
    await expectNothingLeft(made, {}, { code: 'ERR_INPUT_CHANGED' });
    truncateSync(weights(made), statSync(weights(made)).size - 1);
    const onPlan = () => rmSync(weights(made));
    await expectNothingLeft(made, { onPlan }, { code: 'ERR_IO', file: weights(made) });
  });

  it('that is not there, damaged or of another shape stops everything before it begins', async () => {
    const made = await shop();
    const fails = (change: string, error: object) =>
      expect(made.merge(text.replace('{model: $/b}', change))).rejects.toMatchObject(error);
    const absent = {
      code: 'ERR_IO',
      message: expect.stringMatching(/absent: there is neither such a path nor such a repository in /),
    };
    const repository = {
      code: 'ERR_IO',
      file: 'no/repository',
      message: expect.stringMatching(/cannot open no\/repository@v1: /),
      fix: expect.stringMatching(/none is downloaded \(hf download no\/repository --revision v1 does\)/),
    };
    const damaged = { code: 'ERR_SAFETENSORS_TRUNCATED', fix: expect.stringMatching(/download or save it/) };
    mkdirSync(made.path('damaged'));
    writeFileSync(made.path('damaged/model.safetensors'), 'x');
    for (const [change, problems] of [
      ['{model: $/absent}', [absent]],
      ['{model: no/repository@v1}', [repository]],
      ['{model: $/damaged}', [damaged]],
      ['{model: $/absent}, {model: no/repository@v1}', [absent, repository]],
    ] as const) {
      await fails(change, { code: 'ERR_INCOMPATIBLE', details: { problems } });
    }
    made.model('short', [f32('w.0', [3], [1, 2, 3])]);
    await fails('{model: $/short}', {
      code: 'ERR_INCOMPATIBLE',
      tensor: 'w.0',
      message: /shape \[100000\] in .*base, \[3\] in .*short/,
    });
    truncateSync(made.path('short/model.safetensors'), 10);
    await fails('{model: $/short}', { details: { problems: [{ code: 'ERR_SAFETENSORS_TRUNCATED' }] } });
    expect(beside(made.root)).toEqual(['damaged', 'short']);
  });
});

describe('a file', () => {
  it('that is wrong or hostile is one error with every place', async () => {
    const made = await shop();
    const problems = async (content: string) => {
      const error = await made.merge(content).then(
        () => 'merged',
        (reason: unknown) => reason,
      );
      expect(error).toMatchObject({ code: 'ERR_MERGE_FILE', file: made.path('merge.yml') });
      return (error as { details: { problems: unknown[] } }).details.problems;
    };
    expect(await problems(`${text}dytpe: float16\nnormalise: true\n`)).toMatchObject([
      { line: 5, column: 1, fix: /"dtype"/ },
      { line: 6, column: 1, fix: /"normalize"/ },
    ]);
    const bomb = Array.from({ length: 12 }, (_, i) => `a${i}: &a${i} [${`*a${i - 1}, `.repeat(i ? 9 : 0)}1]`);
    expect(JSON.stringify(await problems(bomb.join('\n')))).toMatch(/grows too large/);
    expect(JSON.stringify(await problems(`${'['.repeat(20_000)}`))).toMatch(
      /nested too deeply|not valid YAML/,
    );
    expect(JSON.stringify(await problems('!!js/function "x"'))).toMatch(/./);
    expect(await problems('')).toMatchObject([{ message: 'the file is empty' }]);
    expect(JSON.stringify(await problems(`name: ../../escape\n${text}`))).toMatch(
      /cannot be that of a directory/,
    );
    await expect(made.merge(text, { config: made.path('none.yml') })).rejects.toMatchObject({
      code: 'ERR_IO',
    });
    expect(beside(made.root)).toEqual([]);
  });
});

describe('an output', () => {
  it('that exists, is not ours, or is an input is refused; an earlier one is replaced with force', async () => {
    const made = await shop();
    mkdirSync(made.path('out'));
    writeFileSync(made.path('out/mine'), '');
    await expect(made.merge(text)).rejects.toMatchObject({ code: 'ERR_OUTPUT_EXISTS' });
    await expect(made.merge(text, { force: true })).rejects.toMatchObject({ code: 'ERR_OUTPUT_NOT_OURS' });
    for (const out of [made.path('a'), made.root]) {
      await expect(made.merge(text, { out, force: true })).rejects.toMatchObject({
        code: 'ERR_OUTPUT_IS_INPUT',
      });
    }
    rmSync(made.path('out'), { recursive: true });
    await made.merge(text);
    writeFileSync(made.path('base/left-over'), '');
    await made.merge(text, { force: true });
    expect(readdirSync(made.path('out'))).toContain('left-over');
    rmSync(made.path('base/left-over'));
    await made.merge(text, { force: true });
    expect(readdirSync(made.path('out'))).not.toContain('left-over');
  });

  it('keeps what was there where its replacement fails', async () => {
    const made = await shop();
    await made.merge(text);
    const before = readdirSync(made.path('out'));
    const controller = new AbortController();
    midway(() => controller.abort());
    await expect(made.merge(text, { force: true, signal: controller.signal })).rejects.toMatchObject({
      name: 'AbortError',
    });
    expect(readdirSync(made.path('out'))).toEqual(before);
    expect(beside(made.root)).toEqual(['out']);
  });
});

describe('a full disk', () => {
  /** A file system of 12 MiB, where this process may mount one. */
  async function smallDisk(): Promise<string | undefined> {
    const directory = join(await tempDir(), 'disk');
    mkdirSync(directory);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', directory], { stdio: 'ignore' });
    } catch {
      return undefined;
    }
    onTestFinished(() => void execFileSync('umount', ['-l', directory]));
    return directory;
  }

  it('is noticed before anything is written, for all documents together', async ({ skip }) => {
    const disk = await smallDisk();
    if (disk === undefined) return skip('mounting a small file system takes root');
    const made = await shop();
    const out = join(disk, 'out');
    const two = `name: one\n${text}---\n${text}`;
    await made.merge(text, { out });
    rmSync(out, { recursive: true });
    await expect(made.merge(two, { out })).rejects.toMatchObject({ code: 'ERR_NO_SPACE' });
    expect(readdirSync(disk)).toEqual([]);
  });

  it('that fills up after the plan is an error that leaves nothing behind', async ({ skip }) => {
    const disk = await smallDisk();
    if (disk === undefined) return skip('mounting a small file system takes root');
    const made = await shop();
    const onPlan = () => writeFileSync(join(disk, 'other'), Buffer.alloc(8e6));
    await expect(made.merge(text, { out: join(disk, 'out'), onPlan })).rejects.toMatchObject({
      code: 'ERR_NO_SPACE',
    });
    expect(readdirSync(disk)).toEqual(['other']);
  });
});

describe('a killed run', () => {
  it('leaves only its temporary directory, which the next run names and clears', async () => {
    const made = await shop();
    const library = (file: string) => JSON.stringify(pathToFileURL(join(process.cwd(), 'dist', file)).href);
    const script = `
      import { ProgressMeter } from ${library('checkpoint/progress.js')};
      import { mergeFile } from ${library('index.js')};
      const [, config, out] = process.argv;
      ProgressMeter.prototype.add = () => process.kill(process.pid, 'SIGKILL');
      await mergeFile({ config, out });`;
    const args = ['--input-type=module', '-e', script, made.config(text), made.path('out')];
    const { signal, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    expect(signal, stderr).toBe('SIGKILL');
    expect(beside(made.root)).toEqual(['.out.wisemerge-tmp']);
    const { warnings } = await made.merge(text);
    expect(warnings).toEqual([`removed ${made.path('.out.wisemerge-tmp')}, left by a run that was killed`]);
    expect(beside(made.root)).toEqual(['out']);
  });
});

it('a memory budget that does not hold the largest tensor’s rows names it', async () => {
  const made = await shop();
  await expect(made.merge(text, { memory: 8 * 2 ** 20 })).rejects.toMatchObject({
    code: 'ERR_MEMORY',
    message: /memory of 8388608 bytes is too small; this merge needs \d+ for 3 inputs of "w\.0"/,
  });
  expect(beside(made.root)).toEqual([]);
});
