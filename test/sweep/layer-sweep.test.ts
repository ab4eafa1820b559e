// Searches for alphas by layer, from the sweep to the merged model.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { toMergeOptions } from '../../lib/cli/pair-flags.js';
import { describeLayers } from '../../lib/cli/sweep-text.js';
import { merge } from '../../lib/merge/merge.js';
import { writeReport } from '../../lib/report/report.js';
import { type SweepOptions, sweep } from '../../lib/sweep/sweep.js';
import { project } from '../support/image-project.js';
import { fixture } from '../support/networks.js';
import { tempDir } from '../support/temp.js';
import { llamaTokenizer, withTokenizer } from '../support/tokenizers.js';

describe('a sweep by layer', () => {
  test('of a ViT ends at a point that the merged model has, and is no worse where it was chosen', async () => {
    const { directory, options } = await project('vit-tiny');
    const out = join(directory, 'out');
    const given = { ...options, search: 'layers', tolerance: 0.125, divergence: false } as const;
    const result = await sweep({ ...given, out });
    const { groups, single, objective, comparison, points, sets } = result.layers!;
    expect(groups.map(({ name }) => name)).toEqual([
      'embeddings',
      ...[0, 1, 2].map((i) => `vit.encoder.layer ${i}`),
      'head',
    ]);
    expect(single).toBe(result.analysis.selection.alpha);
    expect(objective.layered).toBeGreaterThanOrEqual(objective.single);
    expect(points.length).toBeGreaterThanOrEqual(2 * groups.length);
    expect(comparison).toMatchObject({ on: 'report', sets: ['shift'] });
    // What was found, as a model on disk, and evaluated as one.
    const { zeroshot, finetuned } = options;
    const merging = { zeroshot, finetuned, alpha: 'best', sweep: out, device: 'cpu' } as const;
    const model = join(directory, 'merged');
    const toWrite = await toMergeOptions({ ...merging, out: model });
    expect(Object.keys(toWrite.tensorAlphas!)).toHaveLength(groups.flatMap(({ tensors }) => tensors).length);
    await merge(toWrite);
    const check = { ...options, zeroshot: model, finetuned: model, alphas: '0:1:1', divergence: false };
    const whole = await sweep({ ...check, out: join(directory, 'check') });
    for (const [s, { layered, difference, single: one }] of sets.entries()) {
      expect(whole.sets[s]!.metrics[0]!.top1).toBe(layered);
      expect(layered - one).toBeCloseTo(difference, 12);
    }
    // Every point that was tried had the accuracy that it is listed with; a search that goes on evaluates none again.
    const again = await sweep({ ...given, out, resume: true });
    expect(again.layers).toEqual(result.layers);
    await writeReport(out);
    expect(await readFile(join(out, 'report.html'), 'utf8')).toContain('Alpha by layer');
    expect(await readFile(join(out, 'plots', 'layers.svg'), 'utf8')).toContain('vit.encoder.layer 2');
    expect(describeLayers(result.layers!)).toContain('by layer');
  });

  test('with a linear schedule has alphas on a line over the depth, of a decoder too', async () => {
    const root = await tempDir();
    await writeFile(
      join(root, 'story.txt'),
      'the man sat in the sand and on the stone. then the rain ran on',
    );
    const options: SweepOptions = {
      zeroshot: await withTokenizer('llama-tiny/base', llamaTokenizer()),
      finetuned: fixture('llama-tiny/a'),
      ...{ alphas: '0:1:0.5', search: 'linear', tolerance: 0.125, replicates: 20, out: join(root, 'out') },
      sets: [{ name: 'story', role: 'select', kind: 'id', text: join(root, 'story.txt') }],
    };
    const { layers } = await sweep(options);
    const alphas = layers!.groups.map(({ alpha }) => alpha);
    const step = (alphas.at(-1)! - alphas[0]!) / (alphas.length - 1);
    for (const [g, alpha] of alphas.entries()) expect(alpha).toBeCloseTo(alphas[0]! + g * step, 5);
    expect(layers!.objective.layered).toBeGreaterThanOrEqual(layers!.objective.single);
  });

  test('keeps to its budget, and is refused where it has nothing to search', async () => {
    const { directory, options } = await project('vit-tiny');
    const given = { ...options, divergence: false, search: 'layers' } as const;
    const { layers } = await sweep({ ...given, layerGroups: 1, budget: 8, out: join(directory, 'few') });
    expect(layers!.points).toHaveLength(5);
    expect(layers!.groups.map(({ name }) => name)).toEqual(['embeddings', 'vit.encoder.layer 0-2', 'head']);
    const code = async (change: Partial<SweepOptions>) =>
      await sweep({ ...given, ...change, out: join(directory, 'no') }).then(
        () => 'none',
        (error) => error.code,
      );
    expect(await code({ rule: 'fixed:0.5' })).toBe('ERR_SWEEP_FILE');
    expect(await code({ search: 'grid', layerGroups: 2 })).toBe('ERR_SWEEP_FILE');
    expect(await code({ finetuned: options.zeroshot })).toBe('ERR_SWEEP_FILE');
    const other = { evaluate: async () => ({}), sets: [{ name: 'a', role: 'select', kind: 'id' }] } as const;
    expect(await code(other as unknown as Partial<SweepOptions>)).toBe('ERR_SWEEP_FILE');
  });
});
