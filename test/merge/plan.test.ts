import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { merge, mergeFile, planMerge, planMergeFile } from '../../lib/index.js';
import { makePair } from '../support/pair.js';
import { tempDir } from '../support/temp.js';

describe('the output in a plan', () => {
  const codes = ({ problems }: { problems: readonly { code: string }[] }) => problems.map(({ code }) => code);

  it('is among the problems where merge would refuse it, all at once', async () => {
    const { root, zeroshot, finetuned, out } = await makePair();
    const given = { zeroshot, finetuned, out, alpha: 0.5 };
    expect(codes(await planMerge(given))).toEqual([]);
    await merge(given);
    expect(codes(await planMerge(given))).toEqual(['ERR_OUTPUT_EXISTS']);
    expect(codes(await planMerge({ ...given, force: true }))).toEqual([]);
    const all = await planMerge({ ...given, alpha: 3, out: zeroshot, force: true });
    expect(codes(all)).toEqual(['ERR_ALPHA_RANGE', 'ERR_OUTPUT_IS_INPUT', 'ERR_OUTPUT_NOT_OURS']);
    expect(codes(await planMerge({ ...given, out: join(root, 'elsewhere') }))).toEqual([]);
  });

  it('is among those of a merge file, if there is one', async () => {
    const { root, zeroshot, finetuned, out } = await makePair();
    const config = join(await tempDir(), 'merge.yml');
    await writeFile(
      config,
      `merge_method: linear\nmodels:\n  - {model: ${zeroshot}, parameters: {weight: 1}}\n  - {model: ${finetuned}, parameters: {weight: 1}}\n`,
    );
    expect(codes(await planMergeFile({ config }))).toEqual([]);
    expect(codes(await planMergeFile({ config, out }))).toEqual([]);
    await mergeFile({ config, out });
    expect(codes(await planMergeFile({ config, out }))).toEqual(['ERR_OUTPUT_EXISTS']);
    expect(codes(await planMergeFile({ config, out, force: true }))).toEqual([]);
    expect(codes(await planMergeFile({ config, out: join(root, 'elsewhere') }))).toEqual([]);
  });
});
