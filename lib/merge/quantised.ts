import { dtypeInfo, type TensorInfo } from '../checkpoint/tensor.js';

/** Endings that quantisation libraries give to scales, zero points and packed codes: not linear parameters. */
const endings = [
  /[._]weight_(scale|scale_inv|scale_2|packed|zero_point|shape|format)$/,
  /[._](scale_inv|scale_weight|scale_input|scales|proj_scale|qscale_weight|qscale_act)$/,
  /(\.|_proj_)(input|activation)_scale$/,
  /\.(_scale|qweight|qzeros|g_idx|absmax|quant_map|nested_absmax|nested_quant_map|SCB)$/,
  /_blocks$/,
  /\.quant_state\./,
  /(^|\.)scaled_fp8$/,
];

/** A model as far as its quantised weights show. */
interface Named {
  readonly tensors: ReadonlyMap<string, unknown>;
}

/**
 * Why a tensor of `model` holds quantised or packed data, or undefined if it does not. By name (scales, zero points,
 * packed codes of GPTQ, AWQ, bitsandbytes, compressed-tensors, MXFP4, scaled FP8), by dtype (sub-byte and scale
 * formats; two-dimensional 8-bit and packed 32-bit integer weights) and, of FP8, by a scale beside it: `scale` alone
 * is also what norms call their weight.
 */
export function quantisation(
  tensor: Pick<TensorInfo, 'name' | 'dtype' | 'shape'>,
  model: Named,
): string | undefined {
  const ending = endings.map((pattern) => pattern.exec(tensor.name)?.[0]).find(Boolean);
  if (ending)
    return `its name ("${ending}") says that it is part of a quantised weight; interpolating codes or scales is meaningless`;
  const { kind, name } = dtypeInfo(tensor.dtype);
  if (kind === 'packed') return `dtype ${name} holds packed codes or scales that cannot be interpolated`;
  const packedWeight =
    ['U8', 'I8', 'I32', 'U32'].includes(name) && tensor.name.endsWith('.weight') && tensor.shape.length >= 2;
  if (packedWeight) return `a ${name} weight matrix is quantised or packed; its codes cannot be interpolated`;
  const scale = tensor.name.replace(/[^.]+$/, 'scale');
  if (name.startsWith('F8_') && scale !== tensor.name && model.tensors.has(scale))
    return `"${scale}" beside it says that it is a quantised weight of ${name}; its codes cannot be interpolated`;
  return undefined;
}
