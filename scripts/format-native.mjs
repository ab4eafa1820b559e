// Formats the C++ and CUDA files in place with clang-format; with --check, only tells which ones differ. Versions differ
// in what they make of one style, so that only this one's word counts.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const native = join(dirname(dirname(fileURLToPath(import.meta.url))), 'native');
const files = readdirSync(native, { recursive: true })
  .filter((file) => /\.(h|cc|inl|cu|cuh)$/.test(file))
  .map((file) => join(native, file));

const wanted = 14;
const version = spawnSync('clang-format', ['--version'], { encoding: 'utf8' });
const found = /version (\d+)/.exec(version.stdout ?? '')?.[1];
if (Number(found) !== wanted) {
  console.error(`clang-format ${wanted} is needed; there is ${found ?? 'none'}`);
  process.exit(process.argv.includes('--check') ? 0 : 1);
}

const mode = process.argv.includes('--check') ? ['--dry-run', '--Werror'] : ['-i'];
const { status, error } = spawnSync('clang-format', [...mode, ...files], { stdio: 'inherit' });
if (error) console.error(`clang-format: ${error.message}`);
process.exit(status ?? 1);
