// One tensor many times as large as the memory that a merge may take.
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { randomBf16 } from '../../support/random.js';
import { tempDir } from '../../support/temp.js';

const MiB = 2 ** 20;
const shape = [1024, 65_536];
const bytes = 2 * shape[0]! * shape[1]!;
const child = fileURLToPath(new URL('../../support/peak-child.mjs', import.meta.url));

/** A model of one tensor of BF16, most of which is a hole in its file. */
function writeSparse(directory: string, seed: number): string {
  mkdirSync(directory);
  const path = join(directory, 'model.safetensors');
  const header = Buffer.alloc(4096 - 8, ' ');
  header.write(JSON.stringify({ w: { dtype: 'BF16', shape, data_offsets: [0, bytes] } }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  writeFileSync(path, Buffer.concat([length, header]));
  truncateSync(path, 4096 + bytes);
  const file = openSync(path, 'r+');
  for (let at = 0; at < bytes; at += 16 * MiB)
    writeSync(file, randomBf16(50_000, seed + at), 0, 100_000, 4096 + at);
  closeSync(file);
  return directory;
}

function peak(options?: object): number {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const args = options ? [child, JSON.stringify(options)] : [child];
  return Number(execFileSync(process.execPath, args, { env, encoding: 'utf8' }));
}

describe.runIf(process.platform === 'linux')('a tensor of 128 MiB', () => {
  it('is merged within the budget: 24 MiB and what a process needs, whatever the number of passes', async () => {
    const root = await tempDir();
    const [base, one, two] = ['base', 'one', 'two'].map((name, i) =>
      writeSparse(join(root, name), i),
    ) as string[];
    const bare = Math.min(peak(), peak());
    const memory = 24 * MiB;
    for (const [method, parameters, own] of [
      ['linear', {}, { weight: 0.3 }],
      ['slerp', { t: 0.3 }, {}],
      ['ties', {}, { weight: 0.3, density: 0.0001 }],
      ['della', {}, { weight: 0.3, density: 0.5 }],
    ] as const) {
      const based = method !== 'linear';
      const config = join(root, 'merge.yml');
      const models = (method === 'slerp' ? [one] : [one, two]).map((model) => ({ model, parameters: own }));
      writeFileSync(
        config,
        JSON.stringify({ merge_method: method, ...(based && { base_model: base }), models, parameters }),
      );
      const out = join(root, 'merged');
      const beyond = peak({ config, out, memory, threads: 2 }) - bare;
      expect(beyond / MiB, method).toBeLessThan(24 + 64);
      rmSync(out, { recursive: true });
    }
  });
});
