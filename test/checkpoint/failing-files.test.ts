// Whatever file operation fails, the error names the file, nothing is left behind and nothing is left out.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkPlace } from '../../lib/checkpoint/output-place.js';
import { OutputTransaction } from '../../lib/checkpoint/transaction.js';
import { checkOutputFile, writeWhole } from '../../lib/checkpoint/whole-file.js';
import { merge, mergeFile, openCheckpoint, verify } from '../../lib/index.js';
import { failing, failingHandles } from '../support/failing-files.js';
import { writeModel } from '../support/models.js';
import { moeProject } from '../support/moe-project.js';
import { alphaOf, besideInputs, makePair, mergePair } from '../support/pair.js';
import { randomF32 } from '../support/random.js';
import { tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';
import { stateDict, writeTorch } from '../support/torch.js';

const weights = [tensor('w', 'F32', [4], randomF32(4, 1))];
/** Of a file whose path ends so. */
const about = (end: string) => ({ code: 'ERR_IO', file: expect.stringMatching(new RegExp(`${end}$`)) });

describe('a merge', () => {
  it.each([
    ['close', 'x/model.safetensors'],
    ['close', 'y/model.safetensors'],
    ['stat', 'x/model.safetensors'],
    ['stat', 'y/model.safetensors'],
    ['close', 'out.wisemerge-tmp/model.safetensors'],
  ] as const)('ends with a typed error where %s of %s fails', async (method, file) => {
    const pair = await makePair();
    failingHandles(method, new RegExp(`${file}$`));
    await expect(mergePair(pair)).rejects.toMatchObject({
      ...about(file),
      message: expect.stringMatching(/^cannot (close|read) .*: i\/o error$/),
    });
    expect(besideInputs(pair.root)).toEqual([]);
  });

  it('ends with a typed error where an input cannot be looked at once it is open for its data', async () => {
    const pair = await makePair();
    await expect(
      mergePair(pair, { onPlan: () => failingHandles('stat', /y\/model\.safetensors$/) }),
    ).rejects.toMatchObject({ ...about('y/model.safetensors'), message: expect.stringContaining('look at') });
    expect(besideInputs(pair.root)).toEqual([]);
  });

  it.each(['alpha_0.1000', 'alpha_0.9000'])('names the directory that it cannot make: %s', async (name) => {
    const pair = await makePair();
    failing('mkdir', new RegExp(`${name}$`));
    await expect(mergePair(pair, { alpha: [0.1, 0.9] })).rejects.toMatchObject(about(name));
    expect(besideInputs(pair.root)).toEqual([]);
  });

  it.each(['tokenizer.json', 'sub'])(
    'does not leave out what it cannot look at beside the weights: %s',
    async (name) => {
      const root = await tempDir();
      const files = { 'tokenizer.json': '{}', 'sub/notes.txt': '' };
      const zeroshot = writeModel(join(root, 'x'), weights, { files });
      const finetuned = writeModel(join(root, 'y'), weights);
      failing('stat', new RegExp(`x/${name}$`));
      const out = join(root, 'out');
      await expect(merge({ zeroshot, finetuned, alpha: 0.5, out })).rejects.toMatchObject(about(name));
      expect(readdirSync(root)).toEqual(['x', 'y']);
    },
  );

  it('names the directory beside the weights that it cannot make, not the file that was to be copied there', async () => {
    const root = await tempDir();
    const zeroshot = writeModel(join(root, 'x'), weights, { files: { 'sub/notes.txt': '' } });
    const finetuned = writeModel(join(root, 'y'), weights);
    failing('mkdir', /wisemerge-tmp\/sub$/);
    const out = join(root, 'out');
    await expect(merge({ zeroshot, finetuned, alpha: 0.5, out })).rejects.toMatchObject(
      about('wisemerge-tmp/sub'),
    );
    expect(readdirSync(root)).toEqual(['x', 'y']);
  });

  it('says why it failed where it cannot clean up either', async () => {
    const pair = await makePair();
    failingHandles('datasync', /model\.safetensors$/, 'ENOSPC');
    failing('rm', /wisemerge-tmp$/);
    await expect(mergePair(pair)).rejects.toMatchObject({ code: 'ERR_NO_SPACE' });
  });

  it('says why it was refused where it cannot clean up either', async () => {
    const root = await tempDir();
    writeFileSync(join(root, 'out'), '');
    failing('rm', /wisemerge-tmp$/);
    await expect(OutputTransaction.begin(join(root, 'out'))).rejects.toMatchObject({
      code: 'ERR_OUTPUT_EXISTS',
    });
  });

  it('replaces nothing where it cannot read what the earlier output holds', async () => {
    const pair = await makePair();
    await mergePair(pair);
    writeFileSync(join(pair.out, 'mine.txt'), 'mine');
    failing('open', /out\/wisemerge\.json$/);
    await expect(mergePair(pair, { force: true })).rejects.toMatchObject(about('out/wisemerge.json'));
    expect(readFileSync(join(pair.out, 'mine.txt'), 'utf8')).toBe('mine');
  });

  it('keeps an earlier output that it cannot remove under a name that a warning says', async () => {
    const pair = await makePair();
    await mergePair(pair);
    const restore = failing('rm', /wisemerge-old$/);
    const { warnings } = await mergePair(pair, { alpha: 0.25, force: true });
    const kept = `${pair.out}.replaced`;
    expect(warnings).toEqual([`${kept} is the output that was replaced: cannot remove ${kept}: i/o error`]);
    expect([alphaOf(pair.out), alphaOf(kept)]).toEqual([0.25, 0.5]);
    restore();
    await mergePair(pair, { alpha: 0.75, force: true });
    expect(besideInputs(pair.root)).toEqual(['out', 'out.replaced']);
  });

  it('warns of an earlier output that it cannot look into, once the new one is there; the next run removes it', async () => {
    const pair = await makePair();
    await mergePair(pair);
    const old = join(pair.root, '.out.wisemerge-old');
    const restore = failing('readdir', /wisemerge-old$/);
    const { warnings } = await mergePair(pair, { alpha: 0.25, force: true });
    expect(warnings).toEqual([`${old} is the output that was replaced: cannot remove ${old}: i/o error`]);
    expect(alphaOf(pair.out)).toBe(0.25);
    restore();
    await mergePair(pair, { alpha: 0.75, force: true });
    expect(besideInputs(pair.root)).toEqual(['out']);
  });

  it('names an output that it cannot list', async () => {
    const { out } = await makePair();
    failing('readdir', /out$/);
    await expect(checkPlace(out, {})).rejects.toMatchObject(about('out'));
  });
});

describe('a merge file', () => {
  const text = (root: string) => {
    const config = join(root, 'merge.yml');
    const models = ['x', 'y'].map((name) => `  - {model: ${join(root, name)}, parameters: {weight: 1}}\n`);
    writeFileSync(config, `merge_method: linear\nmodels:\n${models.join('')}`);
    return { config, out: join(root, 'out') };
  };

  it('names the model that a disk does not give: another would be no better', async () => {
    const { root } = await makePair();
    const options = text(root);
    failing('open', /y\/config\.json$/);
    await expect(mergeFile(options)).rejects.toMatchObject(about('y/config.json'));
  });

  it('lists all models that are not there', async () => {
    const root = await tempDir();
    await expect(mergeFile(text(root))).rejects.toMatchObject({
      code: 'ERR_INCOMPATIBLE',
      details: { problems: [{ code: 'ERR_IO' }, { code: 'ERR_IO' }] },
    });
  });

  it('names the directory that it cannot make', async () => {
    const { root } = await makePair();
    const { config, out } = text(root);
    const document = readFileSync(config, 'utf8');
    writeFileSync(config, `name: first\n${document}---\n${document}`);
    failing('mkdir', /wisemerge-tmp\/first$/, 'EACCES');
    await expect(mergeFile({ config, out })).rejects.toMatchObject(about('wisemerge-tmp/first'));
    expect(besideInputs(root)).toEqual(['merge.yml']);
  });

  it('does not leave out what it cannot look at of a tokenizer', async () => {
    const root = await tempDir();
    const tokenizer = JSON.stringify({ model: { type: 'BPE', vocab: { a: 0, b: 1 }, merges: [] } });
    const rows = [tensor('model.embed_tokens.weight', 'F32', [2, 2], randomF32(4, 1))];
    for (const name of ['x', 'y']) {
      const files = { 'tokenizer.json': tokenizer, 'special_tokens_map.json': '{}' };
      writeModel(join(root, name), rows, { config: { vocab_size: 2 }, files });
    }
    const { config, out } = text(root);
    const base = `base_model: ${join(root, 'x')}\ntokenizer: {source: ${join(root, 'y')}}\n`;
    writeFileSync(config, `${readFileSync(config, 'utf8')}${base}`);
    failing('stat', /y\/special_tokens_map\.json$/);
    await expect(mergeFile({ config, out })).rejects.toMatchObject(about('y/special_tokens_map.json'));
  });
});

describe('a mixture of experts', () => {
  it('names the model that a disk does not give', async () => {
    const { run } = await moeProject('hidden');
    failing('open', /a\/config\.json$/);
    await expect(run()).rejects.toMatchObject(about('a/config.json'));
  });
});

describe('a checkpoint of torch.save', () => {
  it.each(['stat', 'close'] as const)('is named where %s fails', async (method) => {
    const file = join(await tempDir(), 'pytorch_model.bin');
    writeTorch(file, stateDict(weights));
    failingHandles(method, /pytorch_model\.bin$/);
    await expect(openCheckpoint(file)).rejects.toMatchObject(about('pytorch_model.bin'));
  });
});

describe('verify', () => {
  it('does not pass over an output that it cannot look at', async () => {
    const pair = await makePair();
    await mergePair(pair, { alpha: [0.1, 0.9] });
    failing('stat', /alpha_0\.9000\/wisemerge\.json$/);
    await expect(verify(pair.out)).rejects.toMatchObject(about('alpha_0.9000/wisemerge.json'));
  });

  it('names an output that it cannot list', async () => {
    const pair = await makePair();
    await mergePair(pair, { alpha: [0.1, 0.9] });
    failing('readdir', /alpha_0\.9000$/);
    await expect(verify(pair.out)).rejects.toMatchObject(about('alpha_0.9000'));
  });
});

describe('a file that is written as a whole', () => {
  const tensors = [{ name: 'x', dtype: 'F32', shape: [1], data: new Uint8Array(4) }] as const;
  const metadata = { format: 'wisemerge test' };

  it('replaces nothing that it cannot read', async () => {
    const out = join(await tempDir(), 'head.safetensors');
    await writeWhole(out, tensors, metadata);
    failingHandles('stat', /head\.safetensors$/);
    await expect(checkOutputFile(out, { force: true })).rejects.toMatchObject(about('head.safetensors'));
  });

  it('is there although something beside it cannot be removed, which a note says', async () => {
    const root = await tempDir();
    const out = join(root, 'head.safetensors');
    const killed = join(root, '.head.safetensors.0123456789ab.wisemerge-tmp');
    mkdirSync(killed);
    const owner = { pid: 2 ** 22 + 1, host: hostname() };
    writeFileSync(join(killed, '.owner.json'), JSON.stringify(owner));
    const restore = failing('rm', /wisemerge-tmp$/);
    const notes = await writeWhole(out, tensors, metadata);
    expect(notes[0]).toBe(`cannot remove ${killed}: i/o error`);
    expect(notes.slice(1)).toEqual([
      expect.stringMatching(
        /^cannot remove \S+\/\.head\.safetensors\.[0-9a-f]{12}\.wisemerge-tmp: i\/o error$/,
      ),
    ]);
    expect((await openCheckpoint(out)).tensors.size).toBe(1);
    restore();
    expect(await writeWhole(out, tensors, metadata, { force: true })).toEqual([
      `removed ${killed}, left by a run that was killed`,
    ]);
  });

  it('is written to a directory that cannot be listed', async () => {
    const root = await tempDir();
    const restore = failing('readdir', new RegExp(`${basename(root)}$`), 'EACCES');
    await writeWhole(join(root, 'head.safetensors'), tensors, metadata);
    restore();
    expect(readdirSync(root)).toEqual(['head.safetensors']);
  });

  it('says why it failed where it cannot clean up either', async () => {
    const root = await tempDir();
    failing('rm', /wisemerge-tmp$/);
    failingHandles('datasync', /wisemerge-tmp\/other\.safetensors$/, 'EDQUOT');
    const other = join(root, 'other.safetensors');
    await expect(writeWhole(other, tensors, metadata)).rejects.toMatchObject({
      code: 'ERR_NO_SPACE',
      file: other,
      message: `cannot write ${other}: the disk quota is used up`,
    });
  });
});
