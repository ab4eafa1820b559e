/** A chat format as a Jinja template, and the special tokens that it is made of. */
export interface ChatFormat {
  readonly jinja: string;
  readonly tokens: readonly string[];
}

/**
 * Formats by the names that merge files have for them, each after the description of its makers. Templates get
 * `messages`, `add_generation_prompt`, and the texts of `bos_token` and `eos_token`.
 */
export const chatTemplates: Readonly<Record<string, ChatFormat>> = {
  // Taori et al., 2023: an instruction and its response under headings, behind one sentence of introduction. Theirs had no
  // line break behind the last heading; most models since have it.
  alpaca: {
    jinja: `{%- set intro = 'Below is an instruction that describes a task. Write a response that appropriately completes the request.' -%}
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}
{%- set intro = message['content'] -%}
{{ intro + '\\n\\n' }}
{%- elif message['role'] == 'user' -%}
{%- if loop.first -%}
{{ intro + '\\n\\n' }}
{%- endif -%}
{{ '### Instruction:\\n' + message['content'] + '\\n\\n' }}
{%- else -%}
{{ '### Response:\\n' + message['content'] + eos_token + '\\n\\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '### Response:\\n' }}
{%- endif -%}`,
    tokens: [],
  },
  // OpenAI, chatml.md, 2023.
  chatml: {
    jinja: `{%- for message in messages -%}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\\n' }}
{%- endif -%}`,
    tokens: ['<|im_start|>', '<|im_end|>'],
  },
  // LG AI Research, EXAONE 3.5 (arXiv:2412.04862): every conversation begins with a system turn, an empty one if need be.
  exaone: {
    jinja: `{%- if messages[0]['role'] != 'system' -%}
{{ '[|system|][|endofturn|]\\n' }}
{%- endif -%}
{%- for message in messages -%}
{{ '[|' + message['role'] + '|]' + message['content'] }}
{%- if message['role'] != 'user' -%}
{{ '[|endofturn|]' }}
{%- endif -%}
{{ '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '[|assistant|]' }}
{%- endif -%}`,
    tokens: ['[|system|]', '[|user|]', '[|assistant|]', '[|endofturn|]'],
  },
  // Meta, "Llama 3: model cards and prompt formats".
  llama3: {
    jinja: `{{- bos_token -}}
{%- for message in messages -%}
{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif -%}`,
    tokens: ['<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'],
  },
  // Mistral AI, mistral-common and cookbook, tokenizer V1 (Mistral 7B Instruct v0.1 and v0.2): a space before each
  // instruction, and a system message in the first.
  mistral: {
    jinja: `{{- bos_token -}}
{%- set instructions = namespace(prefix='') -%}
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}
{%- set instructions.prefix = message['content'] + '\\n\\n' -%}
{%- elif message['role'] == 'user' -%}
{{ ' [INST] ' + instructions.prefix + message['content'] + ' [/INST]' }}
{%- set instructions.prefix = '' -%}
{%- else -%}
{{ ' ' + message['content'] + eos_token }}
{%- endif -%}
{%- endfor -%}`,
    tokens: [],
  },
};
