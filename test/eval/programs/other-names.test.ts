import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { NetworkModel } from '../../../lib/eval/network.js';
import { bitsOf, compareWithFile, fixture, inputsOf } from '../../support/networks.js';
import { openClip, tensorsOf, timm, toOpenClip, toTimm } from '../../support/other-names.js';
import { writeModel } from '../../support/random-models.js';

const alphas = [0, 0.3, 0.5, 1];

describe('the same networks as other libraries name them', () => {
  test('a ViT of timm is that of transformers with its epsilon, bit for bit', async () => {
    const config = JSON.parse(readFileSync(join(fixture('vit-tiny/zeroshot'), 'config.json'), 'utf8'));
    const ends = ['vit-tiny/zeroshot', 'vit-tiny/finetuned'];
    const [own, other] = [[] as string[], [] as string[]];
    for (const end of ends) {
      own.push(await writeModel([...tensorsOf(end).values()], { ...config, layer_norm_eps: 1e-6 }));
      other.push(await writeModel(toTimm(end), timm));
    }
    const inputs = inputsOf(fixture('vit-tiny/expected.safetensors'));
    const results = [];
    for (const [zeroshot, finetuned] of [own, other]) {
      await using model = await NetworkModel.open(zeroshot!, finetuned);
      results.push((await model.forward(inputs, alphas)).map(bitsOf));
    }
    expect(results[1]).toEqual(results[0]);
  });

  test('a ViT of timm with what no program computes is refused', async () => {
    const gamma = { name: 'blocks.0.ls1.gamma', dtype: 'F32', shape: [1], data: Buffer.alloc(4) };
    const path = await writeModel([...toTimm('vit-tiny/zeroshot'), gamma], timm);
    await expect(NetworkModel.open(path)).rejects.toThrow('"blocks.0.ls1.gamma": networks with LayerScale');
  });

  test('a CLIP of open_clip gives what transformers gives', async () => {
    const models = [];
    for (const end of ['zeroshot', 'finetuned']) {
      models.push(await writeModel(toOpenClip(`clip-tiny/${end}`), openClip, 'open_clip_config.json'));
    }
    await using model = await NetworkModel.open(models[0]!, models[1]!);
    const expected = fixture('clip-tiny/expected.safetensors');
    const results = await model.forward(inputsOf(expected), alphas);
    expect(compareWithFile(expected, alphas, results)).toBeLessThan(1e-5);
  });

  test('towers that are not of open_clip itself are refused', async () => {
    const config = structuredClone(openClip);
    Object.assign(config.model_cfg.vision_cfg, { timm_model_name: 'convnext_base' });
    const path = await writeModel(toOpenClip('clip-tiny/zeroshot'), config, 'open_clip_config.json');
    await expect(NetworkModel.open(path)).rejects.toMatchObject({ code: 'ERR_CONFIG' });
  });
});
