import { dtypeInfo, type TensorInfo } from '../checkpoint/tensor.js';

/**
 * Endings that quantisation libraries give to scales, zero points and packed codes: not linear parameters.
 */
const endings = [
  '.weight_scale',
  '.weight_scale_inv',
  '.weight_scale_2',
  '.weight_packed',
  '.weight_zero_point',
  '.weight_shape',
  '.input_scale',
  '.qweight',
  '.qzeros',
  '.scales',
  '.g_idx',
  '.absmax',
  '.quant_map',
  '.nested_absmax',
  '.nested_quant_map',
  '.SCB',
  '.weight_format',
  '_scales',
  '_blocks',
];

/**
 * Why a tensor holds quantised or packed data, or undefined if it does not. By name (scales, zero points,
 * packed codes of GPTQ, AWQ, bitsandbytes, compressed-tensors, MXFP4) and by dtype (sub-byte and scale
 * formats; two- dimensional 8-bit and packed 32-bit integer weights).
 */
export function quantisation(tensor: Pick<TensorInfo, 'name' | 'dtype' | 'shape'>): string | undefined {
  const ending =
    endings.find((end) => tensor.name.endsWith(end)) ??
    (tensor.name.includes('.quant_state.') && '.quant_state.');
  if (ending)
    return `its name ("${ending}") says that it is part of a quantised weight; interpolating codes or scales is meaningless`;
  const { kind, name } = dtypeInfo(tensor.dtype);
  if (kind === 'packed') return `dtype ${name} holds packed codes or scales that cannot be interpolated`;
  const packedWeight =
    ['U8', 'I8', 'I32', 'U32'].includes(name) && tensor.name.endsWith('.weight') && tensor.shape.length >= 2;
  if (packedWeight) return `a ${name} weight matrix is quantised or packed; its codes cannot be interpolated`;
  return undefined;
}
