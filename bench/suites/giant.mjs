// Peak memory of merge files whose models have one tensor of 4 GB: methods of one pass, of two, and of many.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freeBytes } from '../lib/checkpoints.mjs';
import { figure } from '../lib/figures.mjs';
import { bareNode } from '../lib/merging.mjs';
import { runNode } from '../lib/processes.mjs';
import { writeSparse } from '../lib/sparse.mjs';

const child = fileURLToPath(new URL('../lib/merge-file-child.mjs', import.meta.url));
const columns = 32_768;
const target = { atMost: 128 };

const merges = [
  { method: 'linear', own: { weight: 0.3 } },
  { method: 'slerp', base: true, models: 1, parameters: { t: 0.3 } },
  { method: 'model_stock', base: true },
  { method: 'ties', base: true, own: { weight: 0.3, density: 0.01 } },
  { method: 'breadcrumbs', base: true, own: { weight: 0.3, density: 0.01, gamma: 0.001 } },
  { method: 'della', base: true, own: { weight: 0.3, density: 0.5, epsilon: 0.1 } },
];

export async function giant({ directory, quick, scratch }) {
  const bytes = (quick ? 0.5 : 4) * 2 ** 30;
  if (freeBytes(directory) < 1.2 * bytes)
    return { skipped: `needs ${Math.ceil((1.2 * bytes) / 1e9)} GB of disk` };
  const root = join(scratch, 'giant');
  const shape = [bytes / 2 / columns, columns];
  try {
    mkdirSync(root, { recursive: true });
    const [base, ...tuned] = ['base', 'one', 'two'].map((name) => writeSparse(join(root, name), shape));
    const bare = await bareNode();
    const figures = [];
    for (const { method, base: based, models = 2, own = {}, parameters = {} } of merges) {
      const [config, out] = [join(root, 'merge.yml'), join(root, 'merged')];
      // JSON is YAML.
      const text = {
        merge_method: method,
        ...(based && { base_model: base }),
        models: tuned.slice(0, models).map((model) => ({ model, parameters: own })),
        parameters,
      };
      writeFileSync(config, JSON.stringify(text));
      const { peakBytes } = await runNode([child, JSON.stringify({ config, out })]);
      rmSync(out, { recursive: true });
      figures.push(
        figure(`${method}: peak beyond bare node`, 'MiB', [(peakBytes - bare.peakBytes) / 2 ** 20], target),
      );
    }
    return { figures, details: { bare, bytes } };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
