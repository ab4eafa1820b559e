import type { ArchitectureName } from './config.js';

/** The three matrices of a gated MLP, as Llama and its kin name them. */
export const mlpParts = ['gate_proj', 'up_proj', 'down_proj'] as const;
export type MlpPart = (typeof mlpParts)[number];

export interface MoeShape {
  readonly experts: number;
  readonly perToken: number;
  /** Rows of an expert's up projection. */
  readonly inner: number;
  /** Of the shared expert. */
  readonly sharedInner?: number;
}

/** How an architecture of transformers names what a mixture is made of. `layer`: `model.layers.3`. */
export interface MoeArchitecture {
  readonly name: ArchitectureName;
  /** `model_type` of the output. */
  readonly modelType: string;
  /** `model_type` of models that it can be made of. */
  readonly sources: readonly string[];
  /** Parameters of a layer beside attention, norms and MLP that it has, by the end of their names. */
  readonly extras: RegExp | undefined;
  /** How many experts every token goes through. */
  readonly shared: 0 | 1;
  router(layer: string): string;
  expert(layer: string, index: number, part: MlpPart): string;
  sharedExpert?(layer: string, part: MlpPart): string;
  sharedRouter?(layer: string): string;
  /** Changes to the base's config.json. */
  config(shape: MoeShape): Record<string, unknown>;
}

const mixtralParts: Readonly<Record<MlpPart, string>> = { gate_proj: 'w1', up_proj: 'w3', down_proj: 'w2' };

/** What Qwen's mixtures have in common. Weights of the chosen experts add up to 1, as in Mixtral. */
const qwenConfig = ({ experts, perToken, inner }: MoeShape) => ({
  num_experts: experts,
  num_experts_per_tok: perToken,
  moe_intermediate_size: inner,
  decoder_sparse_step: 1,
  mlp_only_layers: [],
  norm_topk_prob: true,
  output_router_logits: false,
  router_aux_loss_coef: 0.001,
});

export const architectures: readonly MoeArchitecture[] = [
  {
    name: 'mixtral',
    modelType: 'mixtral',
    sources: ['llama', 'mistral'],
    extras: undefined,
    shared: 0,
    router: (layer) => `${layer}.block_sparse_moe.gate.weight`,
    expert: (layer, index, part) => `${layer}.block_sparse_moe.experts.${index}.${mixtralParts[part]}.weight`,
    config: ({ experts, perToken, inner }) => ({
      architectures: ['MixtralForCausalLM'],
      model_type: 'mixtral',
      intermediate_size: inner,
      num_local_experts: experts,
      num_experts_per_tok: perToken,
      output_router_logits: false,
      router_aux_loss_coef: 0.001,
    }),
  },
  {
    name: 'qwen',
    modelType: 'qwen2_moe',
    sources: ['qwen2'],
    extras: /\.self_attn\.[qkv]_proj\.bias$/,
    shared: 1,
    router: (layer) => `${layer}.mlp.gate.weight`,
    expert: (layer, index, part) => `${layer}.mlp.experts.${index}.${part}.weight`,
    sharedExpert: (layer, part) => `${layer}.mlp.shared_expert.${part}.weight`,
    sharedRouter: (layer) => `${layer}.mlp.shared_expert_gate.weight`,
    config: (shape) => ({
      architectures: ['Qwen2MoeForCausalLM'],
      model_type: 'qwen2_moe',
      ...qwenConfig(shape),
      shared_expert_intermediate_size: shape.sharedInner,
    }),
  },
  {
    name: 'qwen3',
    modelType: 'qwen3_moe',
    sources: ['qwen3'],
    extras: /\.self_attn\.([qk]_norm\.weight|[qkvo]_proj\.bias)$/,
    shared: 0,
    router: (layer) => `${layer}.mlp.gate.weight`,
    expert: (layer, index, part) => `${layer}.mlp.experts.${index}.${part}.weight`,
    config: (shape) => ({
      architectures: ['Qwen3MoeForCausalLM'],
      model_type: 'qwen3_moe',
      ...qwenConfig(shape),
    }),
  },
];

const plain =
  /^(model\.embed_tokens\.weight|model\.norm\.weight|lm_head\.weight|model\.layers\.\d+\.((input|post_attention)_layernorm\.weight|self_attn\.([qkvo]_proj\.weight|rotary_emb\.inv_freq)))$/;

/** Whether an architecture has a place for a tensor of a base beside its MLPs. */
export function hasPlace({ extras }: MoeArchitecture, name: string): boolean {
  return plain.test(name) || (extras?.test(name) ?? false);
}

/** Layer and matrix of a weight of an MLP; undefined for any other tensor. */
export function mlpWeight(
  name: string,
): { readonly layer: string; readonly index: number; readonly part: MlpPart } | undefined {
  const [, layer, index, part] =
    /^(model\.layers\.(\d+))\.mlp\.(gate|up|down)_proj\.weight$/.exec(name) ?? [];
  if (layer === undefined) return undefined;
  return { layer, index: Number(index), part: `${part}_proj` as MlpPart };
}
