import { join } from 'node:path';
import type { SoupOptions } from '../../lib/sweep/soup.js';
import { noise } from './heads.js';
import { writeModel } from './models.js';
import { tensor, writeStored } from './safetensors.js';
import { tempDir } from './temp.js';

export const [classes, dimension] = [5, 12];
export const names = ['m0', 'm1', 'm2', 'm3', 'm4'];

/** Linear heads about a common one, the last of which is far off, and two sets. */
export async function heads() {
  const root = await tempDir();
  const random = noise(3);
  const truth = Array.from({ length: classes * dimension }, () => random());
  const weights = names.map((_, i) =>
    Float32Array.from(truth, (v) => v + [0.5, 0.55, 0.6, 0.6, 3][i]! * random()),
  );
  for (const [i, name] of names.entries()) {
    writeModel(join(root, name), [tensor('head.weight', 'F32', [classes, dimension], weights[i]!)], {
      config: { model_type: 'x' },
    });
  }
  const sets = Object.fromEntries(
    [
      ['val', 300],
      ['test', 200],
    ].map(([name, count]) => {
      const features = Float32Array.from({ length: Number(count) * dimension }, () => random());
      const labels = Int32Array.from({ length: Number(count) }, (_, s) => {
        const logits = Array.from({ length: classes }, (_, c) =>
          truth
            .slice(c * dimension, (c + 1) * dimension)
            .reduce((sum, w, d) => sum + w * features[s * dimension + d]!, 0.3 * random()),
        );
        return logits.indexOf(Math.max(...logits));
      });
      writeStored(join(root, `${name}.safetensors`), [
        tensor('features', 'F32', [Number(count), dimension], features),
        tensor('labels', 'I32', [Number(count)], labels),
      ]);
      return [name, { features, labels }] as const;
    }),
  );
  const accuracy = (set: string, members: readonly number[]): number => {
    const { features, labels } = sets[set]!;
    const mean = truth.map((_, e) => members.reduce((sum, i) => sum + weights[i]![e]!, 0) / members.length);
    let right = 0;
    for (const [s, label] of labels.entries()) {
      const logits = Array.from({ length: classes }, (_, c) =>
        mean
          .slice(c * dimension, (c + 1) * dimension)
          .reduce((sum, w, d) => sum + w * features[s * dimension + d]!, 0),
      );
      right += Number(logits.indexOf(Math.max(...logits)) === label);
    }
    return right / labels.length;
  };
  const files = (name: string) => ({
    features: join(root, `${name}.safetensors:features`),
    labels: join(root, `${name}.safetensors:labels`),
  });
  const options: SoupOptions = {
    models: names.map((name) => join(root, name)),
    sets: [
      { name: 'val', role: 'select', kind: 'id', ...files('val') },
      { name: 'test', role: 'report', kind: 'id', ...files('test') },
    ],
    out: join(root, 'soup'),
  };
  return { root, options, accuracy };
}
