import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ioError } from '../../lib/errors.js';
import { writeModel } from '../support/models.js';
import { randomF32 } from '../support/random.js';
import { tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

it('has a hint for the limit on open files', () => {
  const error = Object.assign(new Error("EMFILE: too many open files, open 'x'"), {
    code: 'EMFILE',
    syscall: 'open',
  });
  expect(ioError(error, 'open', 'x')).toMatchObject({
    code: 'ERR_IO',
    hint: expect.stringContaining('ulimit'),
  });
});

it.runIf(process.platform === 'linux')(
  'names the file at which the limit on open files was met',
  async () => {
    const root = await tempDir();
    const model = (name: string, seed: number) => {
      const weights = Array.from({ length: 24 }, (_, i) =>
        tensor(`w${i}`, 'F32', [8], randomF32(8, seed + i)),
      );
      return writeModel(join(root, name), weights, { config: { model_type: 'x' } });
    };
    const options = {
      ...{ zeroshot: model('x', 1), finetuned: model('y', 100), alpha: [0.25, 0.5, 0.75] },
      ...{ shardSize: 64, device: 'cpu' },
    };
    const entry = join(import.meta.dirname, '..', '..', 'dist', 'index.js');
    // Of a full table of open files, as many places as `left` are given back.
    const program = `
      const { closeSync, openSync } = require('node:fs');
      const { merge } = require(${JSON.stringify(entry)});
      const [out, left] = process.argv.slice(1);
      const taken = [];
      try {
        for (;;) taken.push(openSync('/dev/null'));
      } catch {}
      for (const fd of taken.splice(0, Number(left))) closeSync(fd);
      merge({ ...${JSON.stringify(options)}, out }).then(
        () => console.log('merged'),
        ({ code, message, file }) => console.log(code, file !== undefined && message.includes(file)),
      );`;
    const outcomes = [0, 1, 2, 3, 5, 8, 200].map((left) => {
      const out = join(root, `out-${left}`);
      const command = [
        '-c',
        'ulimit -n 400; exec "$@"',
        'sh',
        process.execPath,
        '-e',
        program,
        out,
        String(left),
      ];
      return spawnSync('sh', command, { encoding: 'utf8' }).stdout.trim();
    });
    expect(outcomes.at(-1)).toBe('merged');
    // How many a merge has open at once depends on how fast its requests are.
    expect(outcomes.slice(0, 3)).toEqual(Array(3).fill('ERR_IO true'));
    expect(['merged', 'ERR_IO true']).toEqual(expect.arrayContaining(outcomes));
  },
);
