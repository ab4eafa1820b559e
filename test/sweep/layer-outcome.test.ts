// What a search by layer says of the choice, where the single alpha it began at is passed by more than points.
import { describe, expect, test } from 'vitest';
import type { PointEvaluator, SetEvaluation } from '../../lib/eval/evaluator.js';
import { layersSection } from '../../lib/report/layers-section.js';
import { record } from '../../lib/sweep/evaluated.js';
import { sweepLayers } from '../../lib/sweep/layer-sweep.js';
import { type SweepResult, writeResult } from '../../lib/sweep/result.js';
import { resolveSweep } from '../../lib/sweep/sweep-options.js';
import { nestedBits } from '../support/outcomes.js';
import { tempDir } from '../support/temp.js';

const tensors = ['vit.layer.0.weight', 'vit.layer.1.weight'];
const sets = (['id', 'shift'] as const).map((kind) => ({
  ...({ name: kind, role: 'select', kind, samples: 1000, fingerprint: kind } as const),
}));

/** Both sets are best where the layers have different alphas, ID at other ones than the shift. */
function evaluateAt(first: number, last: number): SetEvaluation[] {
  const near = (a: number, b: number) => (1 - Math.abs(first - a)) * (1 - Math.abs(last - b));
  return [0.8 + 0.1 * near(0.75, 0.25), 0.6 + 0.05 * near(0.5, 0.25)].map((p) => ({
    correct: nestedBits([p], 1000).row(0),
  }));
}

const evaluator: PointEvaluator = {
  ...{ sets, tensors, batch: 4, calls: 1, identity: null },
  evaluate: async (points: readonly unknown[]) =>
    points.map((point) => {
      const at = point as (tensor: string) => number;
      return evaluateAt(at(tensors[0]!), at(tensors[1]!));
    }),
  close: async () => {},
};

async function search(rule: string) {
  const given = sets.map(({ name, role, kind }) => ({ name, role, kind, images: name }));
  const config = resolveSweep({
    ...{ zeroshot: 'a', finetuned: 'b', sets: given, search: 'layers', rule, alphas: '0:1:0.25' },
  });
  const line = config.alphas.map((alpha) => record({ alpha }, 0, sets, evaluateAt(alpha, alpha)));
  const run = { known: [], add: async () => {}, progress: () => {} };
  const { outcome } = await sweepLayers(evaluator, config, line, run);
  const html = layersSection(JSON.parse(JSON.stringify(outcome)), '<svg/>');
  return { objective: outcome.objective, sets: outcome.sets, html };
}

describe('what a search by layer says', () => {
  test('of a rule on one accuracy is the difference in points', async () => {
    const { objective, html } = await search('max-mean');
    const gain = (100 * (objective.layered - objective.single)).toFixed(2);
    expect(objective).toMatchObject({
      singleEligible: true,
      inPoints: true,
      name: 'mean accuracy of id, shift',
    });
    expect(html).toContain(`the mean accuracy of id, shift rose by +${gain} points`);
  });

  test('of a single alpha that the constraint now rules out is that, not a gain', async () => {
    const { objective, sets, html } = await search('max-shift:id-within=0.005');
    const [, shift] = sets;
    expect(objective).toMatchObject({ singleEligible: false, name: 'accuracy on shift' });
    expect(objective.single).toBe(shift!.single);
    expect(objective.layered).toBe(shift!.layered);
    expect(html).toContain('the single alpha is not eligible');
    expect(html).not.toContain('rose by');
  });

  test('of a knee has no points: it is a height above a chord', async () => {
    const { objective, sets, html } = await search('knee');
    const mean = (of: 'single' | 'layered') => sets.reduce((sum, set) => sum + set[of] / 2, 0);
    expect(objective.inPoints).toBe(false);
    expect(objective.single).toBeCloseTo(mean('single'), 12);
    expect(objective.layered).toBeCloseTo(mean('layered'), 12);
    expect(html).not.toContain('rose by');
    expect(html).toContain('farthest from the chord');
  });
});

test('a result with a number that JSON does not have is not written', async () => {
  const broken = { alphas: [0, 1], sets: [], analysis: { objective: Number.NEGATIVE_INFINITY } };
  await expect(writeResult(await tempDir(), broken as unknown as SweepResult)).rejects.toMatchObject({
    code: 'ERR_INTERNAL',
    message: 'analysis.objective of the result is -Infinity',
  });
});
