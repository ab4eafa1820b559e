// Sweeps of decoders on text, from the sweep file to the report.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../lib/checkpoint/checkpoint.js';
import { describeAnalysis, describeCurves } from '../../lib/cli/sweep-text.js';
import { NetworkModel } from '../../lib/eval/network.js';
import { TextTokenizer } from '../../lib/eval/text/tokenizer.js';
import { writeReport } from '../../lib/report/report.js';
import { sweep } from '../../lib/sweep/sweep.js';
import { readSweepFile } from '../../lib/sweep/sweep-file.js';
import { resolveSweep, type SweepConfig } from '../../lib/sweep/sweep-options.js';
import { fixture, whole } from '../support/networks.js';
import { tempDir } from '../support/temp.js';
import { llamaTokenizer, withTokenizer } from '../support/tokenizers.js';

const story = 'the man sat in the sand and on the stone. then the rain ran on';

async function project() {
  const root = await tempDir();
  const zeroshot = await withTokenizer('llama-tiny/base', llamaTokenizer());
  await writeFile(join(root, 'story.txt'), story);
  const questions = Array.from({ length: 30 }, (_, i) => ({
    context: story.slice(0, 5 + i),
    choices: [story.slice(5 + i, 9 + i), 'zq', `x${'abcdefg'[i % 7]}`],
    label: i % 3,
  }));
  await writeFile(join(root, 'mc.jsonl'), questions.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const file = join(root, 'sweep.yml');
  await writeFile(
    file,
    `zeroshot: ${zeroshot}
finetuned: ${fixture('llama-tiny/a')}
alphas: 0:1:0.25
replicates: 20
sets:
  - { name: story, role: select, kind: id, text: story.txt }
  - { name: mc, role: select, kind: shift, text: mc.jsonl, task: choices, normalise: bytes }
`,
  );
  return { root, zeroshot, file, config: (await readSweepFile(file)) as SweepConfig };
}

describe('a sweep on text', () => {
  test('gives perplexity and correct answers at every alpha', async () => {
    const { root, zeroshot, config } = await project();
    const out = join(root, 'out');
    const result = await sweep({ ...config, out });
    const [text, mc] = result.sets;
    await using model = await NetworkModel.open(zeroshot, config.finetuned);
    const ids = (await TextTokenizer.open(await openCheckpoint(zeroshot))).encode(story);
    expect(text!.samples).toBe(ids.length - 1);
    const inputs = new Map([['input_ids', whole([1, ids.length], ids)]]);
    const outputs = await model.forward(inputs, result.alphas);
    for (const [k, metrics] of text!.metrics.entries()) {
      const [nll] = outputs[k]!.get('loss')!.data;
      expect(metrics.nll).toBeCloseTo(nll!, 5);
      expect(metrics.top1).toBeCloseTo(Math.exp(-nll!), 8);
    }
    expect(mc!.samples).toBe(30);
    const records = (await readFile(join(out, 'results.jsonl'), 'utf8')).trim().split('\n');
    const record = JSON.parse(records[2]!);
    expect(record).toMatchObject({ alpha: 0.5, 'story:nll': text!.metrics[2]!.nll });
    expect(record['story:perplexity']).toBeCloseTo(Math.exp(record['story:nll']), 10);
    expect(record['mc:top1'] * 30).toBeCloseTo(Math.round(record['mc:top1'] * 30), 9);
    const shown = describeCurves(result);
    expect(shown).toContain('perplexity');
    expect(shown).toContain(text!.metrics[2]!.perplexity!.toFixed(3));
    expect(describeAnalysis(result.analysis, result)).toMatch(/story \(id\): perplexity \d/);
    await writeReport(out);
    expect(await readFile(join(out, 'report.html'), 'utf8')).toContain('story');
  });

  test('answers alone have intervals and cross-validation', async () => {
    const { root, config } = await project();
    const sets = config.sets.filter(({ name }) => name === 'mc');
    const { analysis, sets: swept } = await sweep({ ...config, sets, out: join(root, 'mc') });
    expect(analysis.firmness!.crossValidation!.sets).toEqual(['mc']);
    expect(swept[0]!.outcome).not.toBeNull();
  });

  test('is resumed with the same text, and not with another', async () => {
    const { root, config } = await project();
    const out = join(root, 'out');
    const controller = new AbortController();
    const stopped = sweep({
      ...{ ...config, out, signal: controller.signal },
      onProgress: () => controller.abort(new Error('stop')),
    });
    await expect(stopped).rejects.toThrow('stop');
    const { seconds: _1, ...resumed } = await sweep({ ...config, out, resume: true });
    const { seconds: _2, ...whole } = await sweep({ ...config, out: join(root, 'whole') });
    expect(JSON.stringify(resumed)).toBe(JSON.stringify(whole));
    await writeFile(join(root, 'story.txt'), `${story} on`);
    await expect(sweep({ ...config, out, resume: true })).rejects.toMatchObject({
      code: 'ERR_SWEEP_CHANGED',
    });
  });
});

describe('a sweep file with text', () => {
  const files = { zeroshot: 'a', finetuned: 'b' };
  const set = { name: 'val', role: 'select', kind: 'id', text: 'val.txt' } as const;

  test('has paths relative to itself', async () => {
    const { root, config } = await project();
    expect(config.sets[0]!.text).toBe(join(root, 'story.txt'));
    expect(resolveSweep({ ...files, sets: [set] }).sets[0]).toEqual(set);
  });

  test.each<[string, Partial<SweepConfig>, object?]>([
    ['labels', { sets: [{ ...set, labels: 'y.npy' }] }],
    ['features', { sets: [{ ...set, features: 'x.npy' }] }],
    ['groups', { sets: [{ ...set, groups: 'g.csv' }] }],
    ['normalise', { sets: [{ ...set, normalise: 'bytes' }] }],
    ['stride', { sets: [{ ...set, task: 'choices', stride: 3 }] }],
    ['no text', { sets: [set, { ...set, name: 'other', text: undefined, features: 'x', labels: 'y' }] }],
    [
      'has stride but no text',
      { sets: [{ ...set, text: undefined, features: 'x', labels: 'y', stride: 3 }] },
    ],
    ['a command or function', { sets: [set], command: ['x', '{model}'] }],
    ['a command or function', { sets: [set] }, { evaluated: true }],
  ])('is refused where it says too much: %s', (what, change, options) => {
    expect(() => resolveSweep({ ...files, ...change } as SweepConfig, options)).toThrow(
      expect.objectContaining({ code: 'ERR_SWEEP_FILE', message: expect.stringContaining(what) }),
    );
  });
});
