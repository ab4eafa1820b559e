// Signals, pipes and terminals.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { runCli, startCli } from '../support/cli.js';
import { writeModel } from '../support/models.js';
import { besideInputs, makePair, type Pair } from '../support/pair.js';
import { tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

const bin = fileURLToPath(new URL('../../dist/cli/bin.js', import.meta.url));

/** Two models of 200 MB of zeros that take no disk. */
async function largePair(): Promise<Pair> {
  const root = await tempDir();
  const json = '{"w":{"dtype":"F32","shape":[50000000],"data_offsets":[0,200000000]}}';
  const header = Buffer.alloc(8 + json.length);
  header.writeBigUInt64LE(BigInt(json.length));
  header.write(json, 8);
  for (const name of ['x', 'y']) {
    mkdirSync(join(root, name));
    const path = join(root, name, 'model.safetensors');
    writeFileSync(path, header);
    truncateSync(path, header.length + 200_000_000);
  }
  return { root, zeroshot: join(root, 'x'), finetuned: join(root, 'y'), out: join(root, 'out') };
}

describe('an interrupt', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('by %s exits with %d and leaves nothing behind', async (signal, code) => {
    const { root, zeroshot, finetuned, out } = await largePair();
    const args = [
      'merge',
      '--zeroshot',
      zeroshot,
      '--finetuned',
      finetuned,
      '--alpha',
      '0:1:0.25',
      '--out',
      out,
      '--json',
    ];
    const { child, done } = startCli(args);
    const weights = join(root, '.out.wisemerge-tmp', 'alpha_0.0000', 'model.safetensors');
    while (!existsSync(weights) && child.exitCode === null)
      await new Promise((resolve) => setTimeout(resolve, 2));
    child.kill(signal);
    const result = await done;
    expect(result.code, result.stderr).toBe(code);
    expect(result.stderr).toMatch(/interrupted\n$/);
    expect(JSON.parse(result.stdout)).toMatchObject({ error: { code: 'ERR_ABORTED' } });
    expect(besideInputs(root)).toEqual([]);
  });
});

describe('a reader that closes early', () => {
  it('ends the program quietly', async () => {
    const model = writeModel(
      join(await tempDir(), 'm'),
      Array.from({ length: 5000 }, (_, i) => tensor(`layer.${i}.weight`, 'F32', [1])),
    );
    const script = '"$0" "$1" inspect "$2" | head -n 1; echo "${PIPESTATUS[0]}"';
    const { stdout, stderr } = spawnSync('bash', ['-c', script, process.execPath, bin, model], {
      encoding: 'utf8',
    });
    const [first, status] = stdout.trimEnd().split('\n');
    expect(first).toMatch(/^tensor +dtype/);
    expect(status).toBe('0');
    expect(stderr).toBe('');
  });
});

describe('a reader of stderr that closes early', () => {
  it('does not end a merge, whose result and exit code stand', async () => {
    const { root, zeroshot, finetuned, out } = await makePair();
    // The reader has gone once its end of the pipe is closed: the merge begins after that.
    const script = `{ sleep 0.2; "$0" "$@" >/dev/null; echo $? >'${root}/status'; } 2>&1 | true; wait`;
    const args = [bin, 'merge', '--zeroshot', zeroshot, '--finetuned', finetuned];
    spawnSync('bash', ['-c', script, process.execPath, ...args, '--alpha', '0.5', '--out', out]);
    expect(readFileSync(join(root, 'status'), 'utf8')).toBe('0\n');
    expect(besideInputs(root)).toEqual(['out', 'status']);
    expect(existsSync(join(out, 'wisemerge.json'))).toBe(true);
  });
});

describe('a reader of stdout that closes early', () => {
  /** Runs TypeScript's watcher of pipes in a command that prints a line, works on, and cleans up when it is aborted. */
  const command = (work: string): string => `
    import { interruptSignal, watchPipes } from ${JSON.stringify(new URL('../../dist/cli/terminal.js', import.meta.url).href)};
    import { setTimeout } from 'node:timers/promises';
    const interrupt = interruptSignal();
    const finished = watchPipes(interrupt);
    await setTimeout(200);
    process.stdout.write('first\\n');
    ${work}
    finished();`;
  const run = (work: string) => {
    const script = '"$0" --input-type=module -e "$1" | true; echo "${PIPESTATUS[0]}"';
    const { stdout, stderr } = spawnSync('bash', ['-c', script, process.execPath, command(work)], {
      encoding: 'utf8',
    });
    return { status: stdout.trimEnd(), stderr: stderr.trimEnd() };
  };

  it('aborts a command that has more to do, so that it cleans up', () => {
    const work = `
      await setTimeout(5000, undefined, { signal: interrupt.signal }).catch(() => console.error('cleaned up'));
      process.exitCode = interrupt.exitCode();`;
    expect(run(work)).toEqual({ status: '141', stderr: 'cleaned up' });
  });

  it('ends one that is done, with its exit code', () => {
    expect(run('')).toEqual({ status: '0', stderr: '' });
    expect(run('process.exitCode = 3;')).toEqual({ status: '3', stderr: '' });
  });
});

describe('a stdout that cannot be written', () => {
  it.skipIf(!existsSync('/dev/full'))('is one line and an exit code', () => {
    const script = '"$0" "$1" inspect "$2" >/dev/full; echo $?';
    const base = fileURLToPath(new URL('../fixtures/llama-tiny/base', import.meta.url));
    const { stdout, stderr } = spawnSync('bash', ['-c', script, process.execPath, bin, base], {
      encoding: 'utf8',
    });
    expect(stdout).toBe('5\n');
    expect(stderr).toMatch(
      /^error: cannot write standard output: no space left on device \(ERR_NO_SPACE\)\n[^\n]+\n$/,
    );
  });
});

describe('colour', () => {
  const failing = ['inspect', '/nonexistent-model'];

  it('is absent where stderr is no terminal, and with NO_COLOR', async () => {
    expect((await runCli(failing)).stderr).toMatch(/^error: /);
    expect((await runCli(failing, { env: { NO_COLOR: '1' } })).stderr).toMatch(/^error: /);
  });

  it('can be forced', async () => {
    expect((await runCli(failing, { env: { FORCE_COLOR: '1' } })).stderr).toMatch(
      /^\x1b\[31merror:\x1b\[39m /,
    );
  });
});

describe('a terminal', () => {
  const script = '/usr/bin/script';

  /** Runs the command line on a pseudo-terminal; gives all that it wrote there. */
  function onTerminal(args: readonly string[], env: Record<string, string> = {}): string {
    const command = [process.execPath, bin, ...args].map((word) => `'${word}'`).join(' ');
    // Node reads many variables to decide on colours (CI, TERM, COLORTERM …): only those named here get through.
    const { PATH = '', HOME = '' } = process.env;
    return execFileSync(script, ['-qec', command, '/dev/null'], {
      encoding: 'utf8',
      env: { PATH, HOME, TERM: 'xterm', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  it('gets a bar that redraws itself and is cleared at the end, and none with --quiet', async ({ skip }) => {
    if (!existsSync(script)) return skip(`no ${script}`);
    const { zeroshot, finetuned, out } = await makePair(200_000);
    const args = [
      'merge',
      '--zeroshot',
      zeroshot,
      '--finetuned',
      finetuned,
      '--alpha',
      '0.5',
      '--force',
      '--out',
      out,
    ];
    const shown = onTerminal(args);
    expect(shown).toMatch(/\r\x1b\[K█{24} 100 % of /);
    expect(shown.slice(shown.lastIndexOf('█'))).toMatch(/\r\x1b\[K/);
    expect(onTerminal([...args, '--quiet'])).toBe(`${out}\r\n`);
  });

  it('gets colours, but not with NO_COLOR', async ({ skip }) => {
    if (!existsSync(script)) return skip(`no ${script}`);
    const { zeroshot } = await makePair();
    expect(onTerminal(['inspect', zeroshot])).toMatch(/\x1b\[1mtensor/);
    expect(onTerminal(['inspect', zeroshot], { NO_COLOR: '1' })).not.toContain('\x1b');
  });
});
