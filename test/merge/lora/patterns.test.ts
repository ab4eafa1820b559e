// Ranks of modules whose names are the end of others', as PEFT and wisemerge read them from adapter_config.json.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { extractLora, openCheckpoint, openLoraAdapter } from '../../../lib/index.js';
import { writeModel } from '../../support/models.js';
import { tensor } from '../../support/safetensors.js';
import { tempDir } from '../../support/temp.js';

const size = 8;
const matrix = (name: string, rank: number) =>
  tensor(
    `${name}.weight`,
    'F32',
    [size, size],
    Float32Array.from({ length: size * size }, (_, i) => i / 100 + Number(i % 9 === 0 && i / 9 < rank)),
  );

/** The number of the first key that as a regular expression matches a name from its start or after a dot. */
function ruled(pattern: Readonly<Record<string, number>>, name: string): number | undefined {
  const key = Object.keys(pattern).find((one) => new RegExp(`^(.*\\.)?(${one})$`).test(name));
  return key === undefined ? undefined : pattern[key];
}

async function extract(ranks: Readonly<Record<string, number>>) {
  const root = await tempDir();
  const [base, finetuned] = [0, 1].map((factor) =>
    writeModel(
      join(root, String(factor)),
      Object.entries(ranks).map(([name, rank]) => matrix(name, factor * rank)),
      { config: {} },
    ),
  ) as [string, string];
  const out = join(root, 'adapter');
  await extractLora({ base, finetuned, out, energy: 0.999 });
  const { addends } = await openLoraAdapter(out, (await openCheckpoint(base)).tensors);
  const config = JSON.parse(readFileSync(join(out, 'adapter_config.json'), 'utf8'));
  return { addends, config };
}

it.each([
  {
    'transformer.resblocks.0.mlp.c_fc': 1,
    'visual.transformer.resblocks.0.mlp.c_fc': 3,
    'visual.transformer.resblocks.1.mlp.c_fc': 3,
  },
  { proj: 2, 'a.proj': 3, 'b.a.proj': 4, 'c.b.a.proj': 3, 'd.proj': 3, other: 3, 'x.y': 3 },
  // A dot in a key stands for any letter.
  { 'm.a.b': 1, 'm.a_b': 2, 'n.m.aab': 2, 'z.z': 2 },
])('of %j are read back', async (ranks) => {
  const { addends, config } = await extract(ranks);
  for (const [name, rank] of Object.entries(ranks)) {
    expect(addends.get(`${name}.weight`)!.a.shape[0], name).toBe(rank);
    expect([name, ruled(config.rank_pattern, name) ?? config.r]).toEqual([name, rank]);
  }
  expect(config.alpha_pattern).toEqual(config.rank_pattern);
});
