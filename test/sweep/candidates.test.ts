// Models written for a command: those of a run go, and nothing else in their directory does.
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { soup } from '../../lib/sweep/soup.js';
import { type SweepOptions, sweep } from '../../lib/sweep/sweep.js';
import { writeModel } from '../support/models.js';
import { tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

const code = async (promise: Promise<unknown>) =>
  await promise.then(
    () => 'none',
    (error) => error.code,
  );

/** Two models and a command that scores any model, after it has waited for a file named `go` where it is told so. */
async function project({ waits = false } = {}) {
  const directory = await tempDir();
  for (const [name, value] of [
    ['zeroshot', 1],
    ['finetuned', 2],
  ] as const) {
    writeModel(join(directory, name), [tensor('w', 'F32', [2], Float32Array.of(value, 3))], {
      config: { model_type: 'x' },
    });
  }
  const script = join(directory, 'evaluate.mjs');
  const wait = `writeFileSync(${JSON.stringify(join(directory, 'began'))}, '');
while (!existsSync(${JSON.stringify(join(directory, 'go'))})) await new Promise((done) => setTimeout(done, 20));`;
  await writeFile(
    script,
    `import { existsSync, readdirSync, writeFileSync } from 'node:fs';
${waits ? wait : ''}
readdirSync(process.argv[2]);
console.log(JSON.stringify({ val: 0.5 }));
`,
  );
  const options = {
    zeroshot: join(directory, 'zeroshot'),
    finetuned: join(directory, 'finetuned'),
    sets: [{ name: 'val', role: 'select', kind: 'id' }],
    command: [process.execPath, script, '{model}'],
    alphas: '0:1:0.5',
    replicates: 20,
    divergence: false,
    out: join(directory, 'out'),
  } satisfies SweepOptions;
  return { directory, options };
}

describe('the candidates of a command', () => {
  test('leave what the user keeps beside them, in a sweep and in a soup', async () => {
    const { options } = await project();
    const { zeroshot, finetuned, sets, command } = options;
    const mine = join(options.out, 'candidates', 'cv.txt');
    await mkdir(join(options.out, 'candidates'), { recursive: true });
    await writeFile(mine, 'precious');
    await sweep({ ...options, concurrency: 2 });
    expect(await readFile(mine, 'utf8')).toBe('precious');
    expect(await readdir(join(options.out, 'candidates'))).toEqual(['cv.txt']);
    const pot = `${options.out}-soup`;
    await mkdir(join(pot, 'candidates'), { recursive: true });
    await writeFile(join(pot, 'candidates', 'cv.txt'), 'precious');
    await soup({ models: [zeroshot, finetuned], sets, command, out: pot });
    expect(await readdir(join(pot, 'candidates'))).toEqual(['cv.txt']);
  });

  test('that were kept outlive a run that is refused', async () => {
    const { options } = await project();
    await sweep({ ...options, keep: true });
    expect(await code(sweep(options))).toBe('ERR_OUTPUT_EXISTS');
    expect(await readdir(join(options.out, 'candidates'))).toEqual(['alpha_0', 'alpha_0.5', 'alpha_1']);
  });

  test('of a run under way are not touched by a second one', async () => {
    const { directory, options } = await project({ waits: true });
    const first = sweep(options);
    while (!existsSync(join(directory, 'began'))) await new Promise((done) => setTimeout(done, 20));
    expect(await code(sweep({ ...options, resume: true }))).toBe('ERR_OUTPUT_BUSY');
    expect(await readdir(join(options.out, 'candidates'))).toEqual(['alpha_0']);
    await writeFile(join(directory, 'go'), '');
    expect((await first).alphas).toEqual([0, 0.5, 1]);
    expect(await readdir(options.out)).not.toContain('candidates');
  });
});
