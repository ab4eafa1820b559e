// Which keys of a configuration follow the number of layers, in models of several stacks.
import { expect, it } from 'vitest';
import { headers, resolveText } from '../../support/headers.js';

/** Stacks by name, each with its number of layers. */
function model(path: string, stacks: Readonly<Record<string, number>>, config: Record<string, unknown>) {
  const names = Object.entries(stacks).flatMap(([stack, count]) =>
    Array.from({ length: count }, (_, layer) => `${stack}.${layer}.w`),
  );
  return headers(path, Object.fromEntries(names.map((name) => [name, [2]])), config);
}

/** Three layers of a module become four. */
const four = (module: string) => `merge_method: passthrough
modules:
  ${module}:
    slices:
      - sources: [{model: a, layer_range: [0, 2]}]
      - sources: [{model: b, layer_range: [1, 3]}]
`;
const changed = (module: string, stacks: Record<string, number>, config: Record<string, unknown>) => {
  const merge = resolveText(four(module), [model('a', stacks, config), model('b', stacks, config)]);
  return {
    changes: merge.configChanges,
    doubts: merge.warnings.filter((text) => /number of layers/.test(text)),
  };
};

const t5 = { 'encoder.block': 3, 'decoder.block': 3 };
const bart = { 'model.encoder.layers': 3, 'model.decoder.layers': 3 };
const bartConfig = { encoder_layers: 3, decoder_layers: 3, num_hidden_layers: 3 };
const clip = { 'text_model.encoder.layers': 3, 'vision_model.encoder.layers': 3 };
const clipConfig = { text_config: { num_hidden_layers: 3 }, vision_config: { num_hidden_layers: 3 } };
const qwen = { 'model.layers': 3, 'visual.blocks': 3 };
const qwenConfig = { num_hidden_layers: 3, layer_types: ['x', 'y', 'z'], vision_config: { depth: 3 } };
const audio = { 'language_model.model.layers': 3, 'audio_tower.layers': 3 };
const audioConfig = {
  text_config: { num_hidden_layers: 3 },
  audio_config: { encoder_layers: 3, num_hidden_layers: 3 },
};
const omni = {
  'thinker.model.layers': 3,
  'thinker.visual.blocks': 3,
  'thinker.audio_tower.layers': 3,
  'talker.model.layers': 3,
};
const omniConfig = {
  thinker_config: {
    text_config: { num_hidden_layers: 3, layer_types: ['x', 'y', 'z'] },
    vision_config: { depth: 3 },
    audio_config: { encoder_layers: 3, num_hidden_layers: 3 },
  },
  talker_config: { num_hidden_layers: 3 },
};
const t5gemmaConfig = { encoder: { num_hidden_layers: 3 }, decoder: { num_hidden_layers: 3 } };
const trocr = { 'encoder.encoder.layer': 3, 'decoder.model.decoder.layers': 3 };
const trocrConfig = { encoder: { num_hidden_layers: 3 }, decoder: { decoder_layers: 3 } };

it.each<[string, string, Record<string, number>, Record<string, unknown>, Record<string, unknown>]>([
  ["T5's decoder", 'decoder', t5, { num_layers: 3, num_decoder_layers: 3 }, { num_decoder_layers: 4 }],
  ["T5's encoder", 'encoder', t5, { num_layers: 3, num_decoder_layers: 3 }, { num_layers: 4 }],
  ["T5's decoder, by default the encoder's", 'decoder', t5, { num_layers: 3 }, { num_decoder_layers: 4 }],
  [
    "T5's encoder, by default the decoder's",
    'encoder',
    t5,
    { num_layers: 3 },
    { num_layers: 4, num_decoder_layers: 3 },
  ],
  ["BART's decoder", 'decoder', bart, bartConfig, { decoder_layers: 4 }],
  ["BART's encoder", 'encoder', bart, bartConfig, { encoder_layers: 4, num_hidden_layers: 4 }],
  [
    "OPT's only stack",
    'decoder',
    { 'model.decoder.layers': 3 },
    { num_hidden_layers: 3 },
    { num_hidden_layers: 4 },
  ],
  ["CLIP's vision", 'vision_model', clip, clipConfig, { 'vision_config.num_hidden_layers': 4 }],
  ["CLIP's text", 'text_model', clip, clipConfig, { 'text_config.num_hidden_layers': 4 }],
  ["Qwen-VL's vision", 'visual', qwen, qwenConfig, { 'vision_config.depth': 4 }],
  ["Qwen-VL's text", 'layers', qwen, qwenConfig, { num_hidden_layers: 4, layer_types: ['x', 'y', 'y', 'z'] }],
  [
    'an audio tower',
    'audio_tower',
    audio,
    audioConfig,
    { 'audio_config.encoder_layers': 4, 'audio_config.num_hidden_layers': 4 },
  ],
  [
    'a vision tower alone',
    'vision_model',
    { 'vision_model.encoder.layers': 3 },
    { num_hidden_layers: 3 },
    { num_hidden_layers: 4 },
  ],
  [
    "Qwen-Omni's text",
    'thinker',
    omni,
    omniConfig,
    {
      'thinker_config.text_config.num_hidden_layers': 4,
      'thinker_config.text_config.layer_types': ['x', 'y', 'y', 'z'],
    },
  ],
  ["Qwen-Omni's vision", 'visual', omni, omniConfig, { 'thinker_config.vision_config.depth': 4 }],
  [
    "Qwen-Omni's audio",
    'audio_tower',
    omni,
    omniConfig,
    {
      'thinker_config.audio_config.encoder_layers': 4,
      'thinker_config.audio_config.num_hidden_layers': 4,
    },
  ],
  ["Qwen-Omni's talker", 'talker', omni, omniConfig, { 'talker_config.num_hidden_layers': 4 }],
  ["T5Gemma's encoder", 'encoder', bart, t5gemmaConfig, { 'encoder.num_hidden_layers': 4 }],
  ["T5Gemma's decoder", 'decoder', bart, t5gemmaConfig, { 'decoder.num_hidden_layers': 4 }],
  ["TrOCR's encoder", 'encoder', trocr, trocrConfig, { 'encoder.num_hidden_layers': 4 }],
  ["TrOCR's decoder", 'decoder', trocr, trocrConfig, { 'decoder.decoder_layers': 4 }],
])('%s', (_name, module, stacks, config, changes) => {
  expect(changed(module, stacks, config)).toEqual({ changes, doubts: [] });
});

it.each<[string, string, Record<string, number>, Record<string, unknown>]>([
  ['a tower that the configuration does not describe', 'visual', qwen, { num_hidden_layers: 3 }],
  ['a decoder beside an encoder', 'decoder', bart, { encoder_layers: 3, num_hidden_layers: 3 }],
])(
  '%s: nothing is changed because numbers are equal, and a warning says so',
  (_name, module, stacks, config) => {
    expect(changed(module, stacks, config)).toEqual({
      changes: {},
      doubts: [
        expect.stringMatching(/config\.json of a states no number of layers for .*; the output has 4/),
      ],
    });
  },
);

it('slices without modules change the stack that they are about', () => {
  const text = `merge_method: passthrough
slices:
  - sources: [{model: a, layer_range: [0, 2]}]
  - sources: [{model: b, layer_range: [1, 3]}]
`;
  const config = { num_layers: 3, num_decoder_layers: 3 };
  const { configChanges } = resolveText(text, [model('a', t5, config), model('b', t5, config)]);
  expect(configChanges).toEqual({ num_layers: 4 });
});

it('layers of a tower without config.json are sliced like any', () => {
  const { 'vision_model.encoder.layers': _, ...text } = clip;
  const tower = { 'vision_model.encoder.layers': 3 };
  for (const stacks of [tower, text]) {
    const merge = resolveText(
      four('default'),
      ['a', 'b'].map((path) => ({ ...model(path, stacks, {}), config: undefined })),
    );
    expect(merge.tensors).toHaveLength(4);
    expect(merge.configChanges).toEqual({});
  }
});
