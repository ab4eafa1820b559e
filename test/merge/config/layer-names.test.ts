// What stands before the layers and what after them, by the names that libraries give.
import { expect, it } from 'vitest';
import { followsLayers } from '../../../lib/merge/config/layer-names.js';

const names = {
  before: [
    // timm
    ...['patch_embed.proj.weight', 'patch_embed.norm.weight', 'cls_token', 'pos_embed', 'norm_pre.weight'],
    // open_clip
    ...['visual.conv1.weight', 'visual.ln_pre.weight', 'token_embedding.weight', 'positional_embedding'],
    // transformers
    ...['model.embed_tokens.weight', 'vit.embeddings.patch_embeddings.projection.weight'],
    ...['transformer.wte.weight', 'bert.embeddings.LayerNorm.weight', 'model.embeddings.norm.weight'],
    ...['embeddings.layernorm.weight', 'vision_model.pre_layrnorm.weight', 'model.shared.weight'],
    ...['wav2vec2.feature_projection.layer_norm.weight', 'word_embeddings_layernorm.weight'],
    ...['language_projection.weight', 'model.connector.modality_projection.proj.weight'],
    ...['multi_modal_projector.layer_norm.weight', 'visual.merger.mlp.0.weight'],
    // TensorRT-LLM
    ...['transformer.vocab_embedding.weight'],
  ],
  after: [
    ...['norm.weight', 'fc_norm.weight', 'head.weight', 'head.fc.bias'],
    ...['visual.ln_post.weight', 'visual.proj', 'ln_final.weight', 'ln_final.bias', 'text_projection'],
    ...['logit_scale', 'logit_bias', 'biogpt.layer_norm.weight', 'model.layer_norm.weight'],
    ...[
      'vocab_transform.weight',
      'vocab_layer_norm.bias',
      'vocab_projector.weight',
      'discriminator_predictions.dense.weight',
    ],
    ...['model.norm.weight', 'lm_head.weight', 'lm_head.dense.weight', 'embed_out.weight'],
    ...['transformer.ln_f.weight', 'output.weight', 'classifier.dense.weight', 'bert.pooler.dense.bias'],
    ...['cls.predictions.bias', 'vision_model.post_layernorm.weight', 'visual_projection.weight'],
    ...['text_model.final_layer_norm.weight', 'final_logits_bias', 'vision_model.head.layernorm.weight'],
    ...['score.weight', 'classifier.out_proj.weight', 'transformer.output_layer.weight'],
    ...['model.decoder.layer_norm.bias', 'proj_out.weight', 'norm_out.linear.weight'],
  ],
};

it.each(names.before)('%s comes before the layers', (name) => expect(followsLayers(name)).toBe(false));
it.each(names.after)('%s comes after the layers', (name) => expect(followsLayers(name)).toBe(true));
