// Every measurement runs in a process of its own: memory peaks, allocator state and first touches stay apart.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const hook = new URL('usage-hook.mjs', import.meta.url).href;
const command = fileURLToPath(new URL('../../dist/cli/bin.js', import.meta.url));

/**
 * Runs node with `args`; gives what it printed, its seconds from spawn to exit, and its resource usage. What the
 * surroundings would have Node do at its start (options, parsing certificates) is left out.
 */
export async function runNode(args) {
  const { NODE_OPTIONS: _, NODE_EXTRA_CA_CERTS: __, ...env } = process.env;
  const { seconds, stdout, usage } = await run(process.execPath, ['--import', hook, ...args], { env });
  return { seconds, stdout, ...JSON.parse(usage) };
}

/** Runs `wisemerge` with `args` and `--json`; `result` is what it printed, the rest as `runNode`. */
export async function runWisemerge(args) {
  const { stdout, ...measured } = await runNode([command, ...args, '--json', '--quiet']);
  return {
    ...measured,
    cpuSeconds: measured.userSeconds + measured.systemSeconds,
    result: JSON.parse(stdout),
  };
}

/** Runs a program that prints one JSON object; its stderr goes to ours. */
export async function runJson(program, args) {
  return JSON.parse((await run(program, args)).stdout);
}

async function run(program, args, options = {}) {
  const began = performance.now();
  const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'inherit', 'pipe'] });
  const output = Promise.all([text(child.stdout), text(child.stdio[3])]);
  const exited = once(child, 'exit').then(([code, signal]) => ({
    code,
    signal,
    seconds: (performance.now() - began) / 1000,
  }));
  const [{ code, signal, seconds }, [stdout, usage]] = await Promise.all([exited, output]);
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${signal ?? code}\n${stdout}`);
  return { seconds, stdout, usage };
}
