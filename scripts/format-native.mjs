// Formats the C++ and CUDA files in place with clang-format; with --check, only tells which ones differ.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const native = join(dirname(dirname(fileURLToPath(import.meta.url))), 'native');
const files = readdirSync(native, { recursive: true })
  .filter((file) => /\.(h|cc|inl|cu|cuh)$/.test(file))
  .map((file) => join(native, file));

const mode = process.argv.includes('--check') ? ['--dry-run', '--Werror'] : ['-i'];
const { status, error } = spawnSync('clang-format', [...mode, ...files], { stdio: 'inherit' });
if (error) console.error(`clang-format: ${error.message}`);
process.exit(status ?? 1);
