import { describe, expect, test } from 'vitest';
import { diff } from '../../lib/merge/diff.js';
import { groupByLayer } from '../../lib/sweep/divergence.js';
import { writeModel } from '../support/models.js';
import { randomF32 } from '../support/random.js';
import { tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

function weightsOf(seed: number): Float32Array {
  const bytes = randomF32(40, seed);
  return Float32Array.from({ length: 40 }, (_, i) => bytes.readFloatLE(4 * i));
}

/** Two models with the same tensors, all of 40 weights, and their values by name. */
async function models(names: readonly string[]) {
  const directory = await tempDir();
  const values = [1, 100].map((seed) => new Map(names.map((name, i) => [name, weightsOf(seed + i)])));
  const paths = values.map((weights, k) =>
    writeModel(
      `${directory}/${k}`,
      [...weights].map(([name, data]) => tensor(name, 'F32', [40], data)),
    ),
  );
  return { paths, values: values as [Map<string, Float32Array>, Map<string, Float32Array>] };
}

/** Both figures of some tensors as one vector, by definition. */
function figuresOf([x, y]: readonly Map<string, Float32Array>[], names: readonly string[]) {
  const join = (of: Map<string, Float32Array>) => names.flatMap((name) => [...of.get(name)!]);
  const [a, b] = [join(x!), join(y!)];
  const norm = (v: number[]) => Math.sqrt(v.reduce((sum, value) => sum + value * value, 0));
  const dot = a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  return {
    relativeL2: expect.closeTo(norm(a.map((value, i) => b[i]! - value)) / norm(a), 10),
    cosine: expect.closeTo(dot / norm(a) / norm(b), 10),
  };
}

describe('grouping by layer', () => {
  test('weight and bias of a module are one vector; experts are one module', async () => {
    const names = [
      'model.embed.weight',
      'model.layers.0.attn.q.weight',
      'model.layers.0.attn.q.bias',
      'model.layers.1.attn.q.weight',
      'model.layers.1.mlp.experts.0.up.weight',
      'model.layers.1.mlp.experts.1.up.weight',
    ];
    const { paths, values } = await models(names);
    const { rows, modules, cells, others, total } = groupByLayer(await diff(paths[0]!, paths[1]!));
    expect(rows).toEqual([
      { stack: 'model.layers', layer: 0 },
      { stack: 'model.layers', layer: 1 },
    ]);
    expect(modules).toEqual(['attn.q', 'mlp.experts.*.up']);
    expect(cells).toEqual([
      { row: 0, module: 0, tensors: 2, parameters: 80, ...figuresOf(values, names.slice(1, 3)) },
      { row: 1, module: 0, tensors: 1, parameters: 40, ...figuresOf(values, names.slice(3, 4)) },
      { row: 1, module: 1, tensors: 2, parameters: 80, ...figuresOf(values, names.slice(4)) },
    ]);
    expect(others).toEqual([{ name: names[0], parameters: 40, ...figuresOf(values, names.slice(0, 1)) }]);
    expect(total).toEqual({ parameters: 240, ...figuresOf(values, names) });
  });

  test.each([
    ['transformer.h.11.ln_1.weight', 'transformer.h', 11, 'ln_1'],
    ['visual.transformer.resblocks.3.mlp.c_fc.bias', 'visual.transformer.resblocks', 3, 'mlp.c_fc'],
    ['layer1.0.conv1.weight', 'layer1', 0, 'conv1'],
    ['net.2.weight', 'net', 2, 'weight'],
    ['blocks.7.gamma', 'blocks', 7, 'gamma'],
  ])('%s', async (name, stack, layer, module) => {
    const { paths } = await models([name]);
    const found = groupByLayer(await diff(paths[0]!, paths[1]!));
    expect(found).toMatchObject({ rows: [{ stack, layer }], modules: [module], others: [] });
  });

  test.each(['head.weight', 'logit_scale', 'fc.1', '0'])('%s is outside layers', async (name) => {
    const { paths } = await models([name]);
    const found = groupByLayer(await diff(paths[0]!, paths[1]!));
    expect(found).toMatchObject({ rows: [], modules: [], cells: [], others: [{ name }] });
  });

  test('weights that were zero have a distance only together with others', () => {
    const of = (name: string, x: number, y: number, relativeL2: number | null) => ({
      name,
      shape: [1],
      dtypes: ['F32', 'F32'] as const,
      parameters: 1,
      relativeL2,
      cosine: x > 0 && y > 0 ? 1 : null,
      norms: [x, y] as const,
      maxAbs: 0,
      unchanged: 0,
      nan: [0, 0] as const,
      inf: [0, 0] as const,
    });
    const total = of('', 0, 0, 0);
    const bias = of('h.0.a.bias', 0, 3, null);
    const alone = groupByLayer({ tensors: [bias], total });
    expect(alone.cells[0]).toMatchObject({ relativeL2: null, cosine: null });
    const both = groupByLayer({ tensors: [of('h.0.a.weight', 4, 8, 1), bias], total });
    expect(both.cells[0]!.relativeL2).toBeCloseTo(5 / 4, 14);
  });
});
