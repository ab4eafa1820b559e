// The inputs of the end-to-end suites: made once per directory, then kept.
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { makeCheckpoints } from '../make-checkpoints.mjs';

/** Layers of the usual pair (2.2 GB each) and of one with four times its bytes; the same for --quick (0.6 GB). */
export const layers = { usual: 22, large: 97, quick: 4, quickLarge: 25 };

const names = ['zeroshot', 'finetuned', 'other'];

/** Opens DIR/zeroshot, DIR/finetuned and DIR/other, and makes them first if they are missing. */
export async function openTrio(directory, layerCount, log) {
  const models = names.map((name) => join(directory, name));
  if (!models.every(existsSync)) {
    log(`making checkpoints of ${layerCount} layers in ${directory}`);
    // Made aside, so that a run cut short leaves nothing that looks complete.
    const aside = join(directory, '.making');
    rmSync(aside, { recursive: true, force: true });
    mkdirSync(aside, { recursive: true });
    await makeCheckpoints(aside, { layers: layerCount });
    for (const model of models) rmSync(model, { recursive: true, force: true });
    for (const name of names) renameSync(join(aside, name), join(directory, name));
    rmSync(aside, { recursive: true });
  }
  const [zeroshot, finetuned, other] = models;
  return {
    directory,
    zeroshot,
    finetuned,
    other,
    files: models.flatMap(weightFiles),
    bytes: weightFiles(zeroshot).reduce((sum, f) => sum + statSync(f).size, 0),
  };
}

/** The first two of them: what most suites merge. */
export async function openPair(directory, layerCount, log) {
  const { other: _other, files, ...pair } = await openTrio(directory, layerCount, log);
  return { ...pair, files: files.slice(0, 2) };
}

export function weightFiles(directory) {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.safetensors'))
    .sort()
    .map((name) => join(directory, name));
}

export function freeBytes(directory) {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize;
}
