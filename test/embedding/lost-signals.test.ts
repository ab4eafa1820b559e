// File requests that libuv's thread pool does not see, as the C library has lost the signal.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { writeModel } from '../support/models.js';
import { randomF32 } from '../support/random.js';
import { tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

// Its condition is no part of Node's program then, and nothing is lost.
const sharesLibuv =
  'node_shared_libuv' in process.config.variables && process.config.variables.node_shared_libuv;

it.runIf(process.platform === 'linux')('are seen within a second or two', async () => {
  const root = await tempDir();
  const library = join(root, 'lost-signals.so');
  const source = join(import.meta.dirname, 'fixtures', 'lost-signals.c');
  const compiled = spawnSync(
    process.env.CC ?? 'cc',
    ['-shared', '-fPIC', '-O1', '-o', library, source, '-ldl'],
    {
      encoding: 'utf8',
    },
  );
  expect(compiled.status, compiled.stderr).toBe(0);
  const model = (name: string, seed: number) =>
    writeModel(join(root, name), [tensor('w', 'F32', [64], randomF32(64, seed))]);
  const options = { zeroshot: model('x', 1), finetuned: model('y', 2), alpha: 0.5, out: join(root, 'out') };
  const entry = join(import.meta.dirname, '..', '..', 'dist', 'index.js');
  const program = `
    import { merge } from ${JSON.stringify(entry)};
    process.env.LOSE_SIGNALS = '25';
    await merge(${JSON.stringify(options)});
    console.log('merged');`;
  const { stdout, stderr, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    env: { ...process.env, LD_PRELOAD: library },
    encoding: 'utf8',
    timeout: 40_000,
  });
  expect({ stdout, signal }).toEqual({ stdout: 'merged\n', signal: null });
  expect(stderr).toMatch(sharesLibuv ? /^$/ : /^(lost\n)+$/);
});
