// Sweeps of MLPs: what comes out at both ends is what fine-tuning measured there.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { writeSafetensors } from '../../lib/checkpoint/write-safetensors.js';
import { writeReport } from '../../lib/report/report.js';
import { type SweepOptions, sweep } from '../../lib/sweep/sweep.js';
import { finetune } from '../../lib/train/finetune.js';
import { mlpTensors, separable, trainingProject } from '../support/training.js';

const sizes = [12, 16, 4] as const;

async function project() {
  const { root, ...options } = await trainingProject(mlpTensors(sizes));
  const { zeroshot } = options;
  const { epochs, directory: finetuned, initial } = await finetune(options);
  const held = separable(90, 4, 12, 2);
  const features = new Uint8Array(4 * 90 * 12);
  await held.readFeatures(0, 90, features);
  const path = join(root, 'held.safetensors');
  await writeSafetensors(path, [
    { name: 'features', dtype: 'F32', shape: [90, 12], data: features },
    { name: 'labels', dtype: 'I32', shape: [90], data: new Uint8Array(held.labels.buffer) },
  ]);
  const files = { features: `${path}:features`, labels: `${path}:labels` };
  const sweeping: Omit<SweepOptions, 'out'> = {
    ...{ zeroshot, finetuned, alphas: '0:1:0.25', replicates: 20 },
    sets: [{ name: 'held', role: 'select', kind: 'id', ...files }],
  };
  return { root, sweeping, ends: [initial!, epochs.at(-1)!.heldOut!] };
}

test('an MLP is evaluated whole, and searched', async () => {
  const { root, sweeping, ends } = await project();
  const out = join(root, 'sweep');
  const result = await sweep({ ...sweeping, out, search: 'golden', tolerance: 0.1 });
  const [set] = result.sets;
  for (const [i, { top1, loss }] of ends.entries()) {
    const measured = set!.metrics.at(-i)!;
    expect(measured.top1).toBeCloseTo(top1, 12);
    expect(measured.nll).toBeCloseTo(loss, 5);
    expect(measured.macroF1).toBeGreaterThan(0);
  }
  expect(result.head).toBeNull();
  expect(result.alphas.length).toBeGreaterThan(5);
  expect(result.divergence!.rows.length).toBe(0);
  expect(result.analysis.firmness!.crossValidation!.sets).toEqual(['held']);
  await writeReport(out);
  expect(await readFile(join(out, 'report.html'), 'utf8')).toContain('Why this alpha');
});

test('with a head named, the head alone is swept on the features it takes', async () => {
  const { root, sweeping } = await project();
  const head = sweep({ ...sweeping, out: join(root, 'head'), head: '3.weight' });
  await expect(head).rejects.toMatchObject({ code: 'ERR_DATA_MISMATCH' });
  const searched = sweep({ ...sweeping, out: join(root, 'head'), head: '3.weight', search: 'refine' });
  await expect(searched).rejects.toMatchObject({ code: 'ERR_SWEEP_FILE' });
});
