import { spawn } from 'node:child_process';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { addonPath } from './fixtures/addon.mjs';

interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly elapsed: number;
}

/** Runs a fixture in a process of its own: what these tests look for would take the test runner down. */
function run(name: string, ...args: string[]): Promise<Ending> {
  const script = fileURLToPath(new URL(`fixtures/${name}.mjs`, import.meta.url));
  const begin = performance.now();
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) =>
      resolve({ code, signal, stdout, stderr, elapsed: performance.now() - begin }),
    );
  });
}

it('survives 100 Workers ended at random moments', async () => {
  const { code, signal, stdout, stderr } = await run('terminate-race', '100');
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  const { rounds, started } = JSON.parse(stdout) as { rounds: number; started: number };
  expect(rounds).toBe(100);
  // Enough of them got as far as to have jobs running.
  expect(started).toBeGreaterThan(10);
});

it('keeps the process alive for a job, and no longer', async () => {
  const { code, stdout, elapsed } = await run('idle');
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'sums 2000\n' });
  expect(elapsed).toBeLessThan(20_000);
});

it('lets process.exit end a running job', async () => {
  const { code, signal, stdout, elapsed } = await run('exit-mid-job');
  expect({ code, signal, stdout }).toEqual({ code: 7, signal: null, stdout: '' });
  expect(elapsed).toBeLessThan(20_000);
});

it('lets an uncaught exception end a running job', async () => {
  const { code, signal, stdout, stderr } = await run('exit-mid-job', 'throw');
  expect({ code, signal, stdout }).toEqual({ code: 1, signal: null, stdout: '' });
  expect(stderr).toContain('on purpose');
});

it('works beside another copy of itself and in a second environment', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'wisemerge-copy-'));
  const copy = join(folder, 'copy.node');
  await copyFile(addonPath(), copy);
  const { code, stdout, stderr } = await run('two-copies', copy);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(JSON.parse(stdout)).toEqual({ sums: [800, 800, 800, 800], worker: 0 });
  await rm(folder, { recursive: true });
});

it.runIf(process.platform === 'linux')('stays mapped when the Worker that loaded it ends', async () => {
  const { code, stdout } = await run('unload');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toEqual({ before: false, after: true });
});
