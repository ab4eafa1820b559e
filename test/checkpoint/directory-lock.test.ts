// The directory that a run writes, and by which it keeps others away.
import { once } from 'node:events';
import fs, { mkdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { describe, expect, it, onTestFinished } from 'vitest';
import { merge } from '../../lib/index.js';
import { listFiles } from '../support/models.js';
import { startTime } from '../support/owner.js';
import { besideInputs, makePair, type Pair } from '../support/pair.js';

const run = (pair: Pair, options: object = {}) => {
  const { zeroshot, finetuned, out } = pair;
  return merge({ zeroshot, finetuned, alpha: 0.5, out, ...options });
};

const alphaOf = (out: string): number => JSON.parse(readFileSync(join(out, 'wisemerge.json'), 'utf8')).alpha;

describe('what another run holds', () => {
  const owner = (pair: Pair, content: object | string | undefined): string => {
    const directory = join(pair.root, '.out.wisemerge-tmp');
    mkdirSync(directory);
    writeFileSync(join(directory, 'model.safetensors'), 'half');
    if (content !== undefined) {
      writeFileSync(
        join(directory, '.owner.json'),
        typeof content === 'string' ? content : JSON.stringify(content),
      );
    }
    return directory;
  };
  const self = { pid: process.pid, host: hostname(), started: startTime(process.pid) };

  it('is busy while that run lives', async () => {
    const pair = await makePair();
    const directory = owner(pair, self);
    await expect(run(pair)).rejects.toMatchObject({ code: 'ERR_OUTPUT_BUSY', file: directory });
    await expect(run(pair, { force: true })).rejects.toMatchObject({ code: 'ERR_OUTPUT_BUSY' });
    expect(listFiles(directory)).toEqual(['.owner.json', 'model.safetensors']);
  });

  it('is busy while that run may live: on another host, or a moment after it began', async () => {
    const elsewhere = await makePair();
    owner(elsewhere, { ...self, host: 'elsewhere' });
    await expect(run(elsewhere)).rejects.toMatchObject({ code: 'ERR_OUTPUT_BUSY' });
    const beginning = await makePair();
    owner(beginning, undefined);
    await expect(run(beginning)).rejects.toMatchObject({ code: 'ERR_OUTPUT_BUSY' });
  });

  it.each([
    ['was killed', { ...self, pid: 2 ** 22 + 1 }],
    ['was killed, and its process number given to another', { ...self, started: '1' }],
    ['was killed before it wrote who it was', undefined],
    ['was killed while it wrote who it was', '{"pid": 1'],
  ])('is cleared and named once that run %s', async (_name, content) => {
    const pair = await makePair();
    const directory = owner(pair, content);
    utimesSync(directory, new Date(0), new Date(0));
    const { warnings } = await run(pair);
    expect(warnings.join()).toContain(`removed ${directory}, left by a run that was killed`);
    expect(besideInputs(pair.root)).toEqual(['out']);
  });

  it.runIf(process.platform === 'linux')(
    'is busy while the Worker that holds it lives, and cleared once that is terminated',
    async () => {
      const pair = await makePair();
      const directory = join(pair.root, '.out.wisemerge-tmp');
      const lock = new URL('../../dist/checkpoint/directory-lock.js', import.meta.url).href;
      const worker = new Worker(
        `import(${JSON.stringify(lock)})
          .then(({ lockDirectory }) => lockDirectory(${JSON.stringify(directory)}))
          .then(() => require('node:worker_threads').parentPort.postMessage('locked'));
        setInterval(() => {}, 1000);`,
        { eval: true },
      );
      expect(await once(worker, 'message')).toEqual(['locked']);
      await expect(run(pair)).rejects.toMatchObject({ code: 'ERR_OUTPUT_BUSY', file: directory });
      await worker.terminate();
      const { warnings } = await run(pair);
      expect(warnings.join()).toContain(`removed ${directory}, left by a run that was killed`);
      expect(besideInputs(pair.root)).toEqual(['out']);
    },
  );

  it('is refused to a second merge of the same process, which does not disturb the first', async () => {
    const pair = await makePair();
    let second: Promise<unknown> | undefined;
    const onProgress = () => {
      second ??= run(pair, { alpha: 0.25 }).catch((error) => error);
    };
    // The progress of the check comes before the lock: start from the first bytes.
    const first = run(pair, {
      onProgress: ({ bytesDone }: { bytesDone: number }) => bytesDone > 0 && onProgress(),
    });
    await first;
    expect(await second).toMatchObject({ code: expect.stringMatching(/ERR_OUTPUT_(BUSY|EXISTS)/) });
    expect(alphaOf(pair.out)).toBe(0.5);
    expect(besideInputs(pair.root)).toEqual(['out']);
  });

  it.each(['nothing', 'what a killed run left'])(
    'is given to exactly one of many that start at once over %s',
    async (before) => {
      const pair = await makePair();
      if (before !== 'nothing') owner(pair, { ...self, started: '1' });
      const results = await Promise.allSettled(
        Array.from({ length: 6 }, (_, i) => run(pair, { alpha: i / 10 })),
      );
      const won = results.filter(({ status }) => status === 'fulfilled');
      expect(won).toHaveLength(1);
      for (const result of results) {
        if (result.status === 'rejected') expect(result.reason.code).toMatch(/ERR_OUTPUT_(BUSY|EXISTS)/);
      }
      expect(besideInputs(pair.root)).toEqual(['out']);
    },
  );

  it('is busy, too, where an earlier version holds it, whose owner file had no dot', async () => {
    const pair = await makePair();
    const directory = owner(pair, undefined);
    writeFileSync(join(directory, 'owner.json'), JSON.stringify(self));
    utimesSync(directory, new Date(0), new Date(0));
    await expect(run(pair)).rejects.toMatchObject({ code: 'ERR_OUTPUT_BUSY' });
    // A model may have a file of that name, which says nothing of a run.
    writeFileSync(join(directory, 'owner.json'), '{"name": "me"}');
    utimesSync(directory, new Date(0), new Date(0));
    await run(pair);
    expect(besideInputs(pair.root)).toEqual(['out']);
  });
});

describe('the mark of the run that holds an output', () => {
  it("does not meddle with the base model's files", async () => {
    const pair = await makePair();
    writeFileSync(join(pair.zeroshot, 'owner.json'), '{"name": "me"}');
    await run(pair);
    expect(readFileSync(join(pair.out, 'owner.json'), 'utf8')).toBe('{"name": "me"}');
    const { companions } = JSON.parse(readFileSync(join(pair.out, 'wisemerge.json'), 'utf8'));
    expect(companions).toContain('owner.json');
    expect(listFiles(pair.out).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('leaves nothing behind if it cannot be written', async () => {
    const pair = await makePair();
    const { writeFile } = fs.promises;
    fs.promises.writeFile = async (path, ...rest) => {
      if (!String(path).endsWith('owner.json')) return await writeFile(path, ...rest);
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), {
        code: 'ENOSPC',
        syscall: 'write',
      });
    };
    syncBuiltinESMExports();
    onTestFinished(() => {
      fs.promises.writeFile = writeFile;
      syncBuiltinESMExports();
    });
    await expect(run(pair)).rejects.toMatchObject({ code: 'ERR_NO_SPACE', file: pair.out });
    expect(besideInputs(pair.root)).toEqual([]);
  });
});

describe('what is in the way of the lock', () => {
  const inTheWay: [string, (path: string, pair: Pair) => void][] = [
    ['a link to nowhere', (path) => symlinkSync('nowhere', path)],
    ['a link to a directory', (path, pair) => symlinkSync(pair.zeroshot, path)],
    ['a file', (path) => writeFileSync(path, 'x')],
  ];

  it.each(inTheWay)('is named and stays: %s', async (_, put) => {
    for (const name of ['.out.wisemerge-tmp', '.out.wisemerge-old']) {
      const pair = await makePair();
      const path = join(pair.root, name);
      put(path, pair);
      await expect(run(pair, { signal: AbortSignal.timeout(5000) })).rejects.toMatchObject({
        code: 'ERR_OUTPUT_EXISTS',
        file: path,
        message: expect.stringContaining('not a directory'),
        hint: expect.stringContaining(path),
      });
      expect(besideInputs(pair.root)).toEqual([name]);
      expect(listFiles(pair.zeroshot)).toEqual(['config.json', 'model.safetensors']);
    }
  });

  it('is named beside a leftover, too', async () => {
    const pair = await makePair();
    const directory = join(pair.root, '.out.wisemerge-tmp');
    mkdirSync(directory);
    utimesSync(directory, new Date(0), new Date(0));
    symlinkSync('nowhere', `${directory}-clearing`);
    await expect(run(pair, { signal: AbortSignal.timeout(5000) })).rejects.toMatchObject({
      code: 'ERR_OUTPUT_EXISTS',
      file: `${directory}-clearing`,
    });
  });
});
