// Names of one tensor in several saves of a model: those that libraries write, and no others.
import { describe, expect, it } from 'vitest';
import { equivalentNames } from '../../lib/merge/equivalent-names.js';

const equal: [string, string][] = [
  ['model.language_model.layers.0.q.weight', 'language_model.model.layers.0.q.weight'],
  ['model.language_model.layers.0.q.weight', 'model.layers.0.q.weight'],
  ['language_model.model.layers.0.q.weight', 'model.layers.0.q.weight'],
  ['language_model.lm_head.weight', 'lm_head.weight'],
  ['model.visual.blocks.0.qkv.weight', 'visual.blocks.0.qkv.weight'],
  ['model.vision_tower.vision_model.norm.weight', 'vision_tower.vision_model.norm.weight'],
  ['model.multi_modal_projector.linear_1.bias', 'multi_modal_projector.linear_1.bias'],
  ['transformer.h.0.ln_1.weight', 'h.0.ln_1.weight'],
  ['bert.pooler.dense.weight', 'pooler.dense.weight'],
  ['roberta.encoder.x', 'encoder.x'],
  ['bert.embeddings.LayerNorm.gamma', 'bert.embeddings.LayerNorm.weight'],
  ['embeddings.LayerNorm.beta', 'bert.embeddings.LayerNorm.bias'],
];
const different: [string, string][] = [
  ['encoder.norm.weight', 'decoder.norm.weight'],
  ['model.vision_model.norm.weight', 'model.language_model.norm.weight'],
  ['LayerNorm.gamma', 'LayerNorm.bias'],
  ['thinker.model.norm.weight', 'talker.model.norm.weight'],
];

describe('equivalent names', () => {
  it.each(equal)('%s and %s, both ways', (one, other) => {
    expect(equivalentNames(one)).toContain(other);
    expect(equivalentNames(other)).toContain(one);
  });

  it.each(different)('not %s and %s', (one, other) => {
    expect(equivalentNames(one)).not.toContain(other);
    expect(equivalentNames(other)).not.toContain(one);
  });

  it('are given once each, without the name itself', () => {
    for (const name of equal.flat()) {
      const names = equivalentNames(name);
      expect(names).not.toContain(name);
      expect(new Set(names).size).toBe(names.length);
    }
  });
});
