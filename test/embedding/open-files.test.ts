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
    // By require, which opens one module at a time.
    const program = `require(${JSON.stringify(entry)}).merge({ ...${JSON.stringify(options)}, out: process.argv[1] })
    .then(() => console.log('merged'), ({ code, message, file }) => console.log(code, file !== undefined && message.includes(file)));`;
    const outcomes = [34, 38, 42, 400].map((limit) => {
      const out = join(root, `out-${limit}`);
      const { stdout } = spawnSync(
        'sh',
        ['-c', `ulimit -n ${limit}; exec "$@"`, 'sh', process.execPath, '-e', program, out],
        {
          encoding: 'utf8',
        },
      );
      return stdout.trim();
    });
    expect(outcomes.at(-1)).toBe('merged');
    expect(new Set(outcomes)).toEqual(new Set(['merged', 'ERR_IO true']));
  },
);
