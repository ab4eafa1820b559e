// Weights in a model's directory that are not the model's own: those that go along, and those that are left out and named.
import { readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type MergePlan, merge, planMerge } from '../../lib/index.js';
import { listFiles, writeModel } from '../support/models.js';
import { randomF32 } from '../support/random.js';
import { tensor, writeStored } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

const weights = [tensor('w', 'F32', [4], randomF32(4, 1))];

/** A merge of a zero-shot model with further files, carried out. */
async function mergeModel({
  files,
}: {
  files: Record<string, string>;
}): Promise<{ out: string; plan: MergePlan }> {
  const root = await tempDir();
  const zeroshot = writeModel(join(root, 'base'), weights, { files });
  const given = {
    zeroshot,
    finetuned: writeModel(join(root, 'tuned'), weights),
    alpha: 0.5,
    out: join(root, 'out'),
  };
  const plan = await planMerge(given);
  await merge(given);
  return { out: given.out, plan };
}

describe('weights beside those of the model', () => {
  it('are left out where they are the same model in other formats and precisions, and named', async () => {
    const stale = [
      'consolidated.00.pth',
      'consolidated.safetensors',
      'flax_model.msgpack',
      'metal/model.bin',
      'model.fp16.safetensors',
      'model.gguf',
      'model.onnx',
      'model.safetensors.index.fp32.json',
      'onnx/decoder_model.onnx',
      'onnx/model.onnx_data',
      'openvino/openvino_model.bin',
      'original/consolidated.00.pth',
      'pytorch_model-00001-of-00002.bin',
      'pytorch_model.fp16.bin',
      'rust_model.ot',
      'tf_model.h5',
    ];
    const files = {
      ...Object.fromEntries(stale.map((name) => [name, 'x'])),
      'pytorch_model.bin': 'x',
      'pytorch_model.bin.index.json': '{}',
      '.gitattributes': 'x',
      '.cache/secret': 'x',
      'original/params.json': '{}',
      'kept.txt': 'x',
    };
    const { out, plan } = await mergeModel({ files });
    expect(listFiles(out)).toEqual([
      ...['README.md', 'kept.txt', 'model.safetensors', 'original/params.json', 'wisemerge.json'],
    ]);
    expect(plan.skipped.map(({ file }) => file)).toEqual(stale);
    for (const { reason } of plan.skipped) expect(reason).toMatch(/same model in another format/);
    // These two are named where they are not read.
    for (const name of ['pytorch_model.bin', 'pytorch_model.bin.index.json'])
      expect(plan.warnings).toContainEqual(expect.stringContaining(`${name} is passed over`));
  });

  it('are left out as the state of training runs, and named', async () => {
    const state = [
      'checkpoint-500/model.safetensors',
      'optimizer.pt',
      'rng_state_0.pth',
      'training_args.bin',
    ];
    const { out, plan } = await mergeModel({ files: Object.fromEntries(state.map((name) => [name, 'x'])) });
    expect(listFiles(out)).toEqual(['README.md', 'model.safetensors', 'wisemerge.json']);
    expect(plan.skipped).toEqual(state.map((file) => ({ file, reason: 'state of a training run' })));
  });

  it('are copied where they are small and of other modules, which is said', async () => {
    const files = {
      'modules.json': '[]',
      '1_Pooling/config.json': '{}',
      '2_Dense/config.json': '{}',
      '2_Dense/model.safetensors': 'dense',
      '3_Dense/pytorch_model.bin': 'dense',
      'campplus.onnx': 'speaker',
      'mm_projector.bin': 'projector',
      'spk_dict.pt': 'voices',
      'stats.npz': 'means',
    };
    const { out, plan } = await mergeModel({ files });
    expect(listFiles(out)).toEqual(
      [...Object.keys(files), 'README.md', 'model.safetensors', 'wisemerge.json'].sort(),
    );
    expect(readFileSync(join(out, '2_Dense/model.safetensors'), 'utf8')).toBe('dense');
    expect(plan.skipped).toEqual([]);
    expect(plan.warnings).toEqual([
      'copied as they are, not merged: 2_Dense/model.safetensors, 3_Dense/pytorch_model.bin, campplus.onnx, ' +
        'mm_projector.bin, spk_dict.pt, stats.npz',
    ]);
  });

  it('are left out where they are large, and named', async () => {
    const root = await tempDir();
    const zeroshot = writeModel(join(root, 'base'), weights, { files: { '2_Dense/model.safetensors': 'x' } });
    truncateSync(join(zeroshot, '2_Dense/model.safetensors'), 100 * 2 ** 20 + 1);
    writeStored(join(zeroshot, 'draft.safetensors'), weights);
    const { sidecars, skipped, warnings } = await planMerge({
      ...{
        zeroshot,
        finetuned: writeModel(join(root, 'tuned'), weights),
        alpha: 0.5,
        out: join(root, 'out'),
      },
    });
    expect({ sidecars, warnings }).toEqual({ sidecars: [], warnings: [] });
    expect(skipped).toEqual([
      {
        file: '2_Dense/model.safetensors',
        reason: expect.stringMatching(/larger than .*not .* merged: add/),
      },
      { file: 'draft.safetensors', reason: expect.stringMatching(/not part of what is merged: add/) },
    ]);
  });

  it('are left out where they are components of a diffusers pipeline, and named', async () => {
    const root = await tempDir();
    const base = join(root, 'base');
    writeModel(base, weights, {
      files: { 'model_index.json': '{}', 'unet/config.json': '{}', 'vae/diffusion_pytorch_model.bin': 'x' },
    });
    writeModel(join(base, 'unet'), weights);
    const { sidecars, skipped } = await planMerge({
      ...{ zeroshot: base, finetuned: writeModel(join(root, 'tuned'), weights), alpha: 0.5 },
      out: join(root, 'out'),
    });
    expect(sidecars).toEqual(['model_index.json', 'unet/config.json']);
    const reason = expect.stringMatching(/component of the pipeline.*only the checkpoint beside/);
    expect(skipped).toEqual([
      { file: 'unet/model.safetensors', reason },
      { file: 'vae/diffusion_pytorch_model.bin', reason },
    ]);
  });
});
