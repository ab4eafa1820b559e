import { join } from 'node:path';
import { writeSafetensors } from '../../lib/checkpoint/write-safetensors.js';
import type { SweepOptions } from '../../lib/sweep/sweep.js';
import { type HeadCase, headCase } from './heads.js';
import { tempDir } from './temp.js';

const bytes = (array: Float32Array | Int32Array) =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

async function writeSet(path: string, { set }: HeadCase): Promise<void> {
  await writeSafetensors(path, [
    { name: 'features', dtype: 'F32', shape: [set.samples, set.dimension], data: bytes(set.features) },
    { name: 'labels', dtype: 'I32', shape: [set.samples], data: bytes(set.labels) },
  ]);
}

/** A pair of heads and three sets on disk: `id` and `far` to choose on, `kept` to report. */
export async function sweepProject(): Promise<{
  directory: string;
  options: Omit<SweepOptions, 'out'>;
  model: HeadCase;
}> {
  const directory = await tempDir();
  const model = headCase(400, 6, 10, { seed: 40 });
  const shape = [6, 10];
  const ends = { zeroshot: model.head.zeroshot, finetuned: model.head.finetuned };
  for (const [name, data] of Object.entries(ends)) {
    await writeSafetensors(join(directory, `${name}.safetensors`), [
      { name: 'head.weight', dtype: 'F32', shape, data },
    ]);
  }
  const others = {
    id: model,
    far: headCase(300, 6, 10, { seed: 41 }),
    kept: headCase(200, 6, 10, { seed: 42 }),
  };
  for (const [name, one] of Object.entries(others))
    await writeSet(join(directory, `${name}.safetensors`), one);
  const files = (name: string) => ({
    features: join(directory, `${name}.safetensors:features`),
    labels: join(directory, `${name}.safetensors:labels`),
  });
  return {
    directory,
    model,
    options: {
      zeroshot: join(directory, 'zeroshot.safetensors'),
      finetuned: join(directory, 'finetuned.safetensors'),
      sets: [
        { name: 'id', role: 'select', kind: 'id', ...files('id') },
        { name: 'far', role: 'select', kind: 'shift', ...files('far') },
        { name: 'kept', role: 'report', kind: 'shift', ...files('kept') },
      ],
      alphas: '0:1:0.1',
      replicates: 50,
    },
  };
}
