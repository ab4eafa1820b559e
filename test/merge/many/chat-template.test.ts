// Chat templates: the known ones render the formats that their makers publish, and outputs get them in every file.
import { readFileSync } from 'node:fs';
import { Template } from '@huggingface/jinja';
import { describe, expect, it } from 'vitest';
import { chatTemplates } from '../../../lib/merge/tokenizer/chat-templates.js';
import { f32, Workshop } from '../../support/merge-file.js';
import { tempDir } from '../../support/temp.js';

const turns = [
  { role: 'user', content: 'Hi' },
  { role: 'assistant', content: 'Hello' },
  { role: 'user', content: 'Bye' },
];
const system = { role: 'system', content: 'Be brief.' };

const render = (name: string, messages: readonly object[], prompt = true) =>
  new Template(chatTemplates[name]!.jinja).render({
    messages: [...messages],
    add_generation_prompt: prompt,
    bos_token: '<s>',
    eos_token: '</s>',
  });

describe('a known template', () => {
  it('chatml', () => {
    expect(render('chatml', [system, turns[0]!])).toBe(
      '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n',
    );
    expect(render('chatml', turns.slice(0, 2), false)).toBe(
      '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n',
    );
  });

  it('llama3', () => {
    expect(render('llama3', [system, { role: 'user', content: ' Hi\n' }])).toBe(
      '<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>' +
        '<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n',
    );
  });

  it('mistral', () => {
    expect(render('mistral', turns)).toBe('<s> [INST] Hi [/INST] Hello</s> [INST] Bye [/INST]');
    expect(render('mistral', [system, turns[0]!])).toBe('<s> [INST] Be brief.\n\nHi [/INST]');
  });

  it('alpaca', () => {
    const intro =
      'Below is an instruction that describes a task. Write a response that appropriately completes the request.';
    expect(render('alpaca', turns)).toBe(
      `${intro}\n\n### Instruction:\nHi\n\n### Response:\nHello</s>\n\n### Instruction:\nBye\n\n### Response:\n`,
    );
    expect(render('alpaca', [system, turns[0]!])).toBe(
      'Be brief.\n\n### Instruction:\nHi\n\n### Response:\n',
    );
  });

  it('exaone', () => {
    expect(render('exaone', turns)).toBe(
      '[|system|][|endofturn|]\n[|user|]Hi\n[|assistant|]Hello[|endofturn|]\n[|user|]Bye\n[|assistant|]',
    );
    expect(render('exaone', [system, turns[0]!], false)).toBe(
      '[|system|]Be brief.[|endofturn|]\n[|user|]Hi\n',
    );
  });
});

describe('an output', () => {
  async function shop(templates: readonly (Record<string, string> | undefined)[]): Promise<Workshop> {
    const made = new Workshop(await tempDir());
    for (const [i, files] of templates.entries())
      made.model(`m${i}`, [f32('w', [1], [i])], { files: files ?? {} });
    return made;
  }
  const merge = (made: Workshop, count: number, template: string) =>
    made.merge(
      `merge_method: uniform_soup\nmodels: [${Array.from({ length: count }, (_, i) => `{model: $/m${i}}`)}]\nchat_template: ${template}\n`,
      { force: true },
    );
  const read = (made: Workshop, name: string) => readFileSync(made.path(`out/${name}`), 'utf8');
  const config = (template: unknown) => ({
    'tokenizer_config.json': JSON.stringify({ eps: 1, chat_template: template }),
  });

  it('gets a named or literal one in every file that has one', async () => {
    const made = await shop([
      { ...config('old'), 'chat_template.jinja': 'older', 'chat_template.json': '{}' },
    ]);
    await merge(made, 1, 'chatml');
    expect(JSON.parse(read(made, 'tokenizer_config.json'))).toEqual({
      eps: 1,
      chat_template: chatTemplates.chatml!.jinja,
    });
    expect(read(made, 'chat_template.jinja')).toBe(chatTemplates.chatml!.jinja);
    expect(JSON.parse(read(made, 'chat_template.json'))).toEqual({
      chat_template: chatTemplates.chatml!.jinja,
    });
    await merge(made, 1, '"{% for m in messages %}{{ m.content }}{% endfor %}"');
    expect(read(made, 'chat_template.jinja')).toBe('{% for m in messages %}{{ m.content }}{% endfor %}');
    const bare = await shop([undefined]);
    await merge(bare, 1, 'mistral');
    expect(read(bare, 'chat_template.jinja')).toBe(chatTemplates.mistral!.jinja);
  });

  it('gets what most models have with auto, the first of several', async () => {
    const made = await shop([
      config('one'),
      { 'chat_template.jinja': 'two\n' },
      config([
        { name: 'tool', template: 'three' },
        { name: 'default', template: 'two' },
      ]),
    ]);
    const { warnings } = await merge(made, 3, 'auto');
    expect(JSON.parse(read(made, 'tokenizer_config.json')).chat_template).toBe('two');
    expect(warnings.join()).toMatch(/the models have 2; the one of 2 is taken/);
    await merge(made, 2, 'auto');
    expect(JSON.parse(read(made, 'tokenizer_config.json')).chat_template).toBe('one');
    const none = await shop([undefined, undefined]);
    expect((await merge(none, 2, 'auto')).warnings).toEqual([
      expect.stringMatching(/no model has a chat template/),
    ]);
  });
});
