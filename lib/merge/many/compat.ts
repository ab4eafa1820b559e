import { dtypeInfo } from '../../checkpoint/tensor.js';
import { WisemergeError } from '../../errors.js';
import type { DTypeName } from '../../native.js';
import type { MergeConfig } from '../config/config.js';
import { Problems } from '../config/problems.js';
import type { ResolvedTensor } from '../config/resolved.js';
import { type NativeCall, nativeCall } from './native-call.js';

/** Methods of mergekit 0.1.4 whose roundings are reproduced, step by step (docs/merge-files.md). */
const compatMethods: readonly string[] = ['linear', 'task_arithmetic', 'passthrough'];
const workingDtypes: readonly DTypeName[] = ['F64', 'F32', 'F16', 'BF16'];

export const compatWarning: string =
  'compat mergekit: weights, products, sums and quotients are each rounded to the working dtype, as in mergekit. Results ' +
  'are less exact, and weights that are equal in all models may change; `dtype: float32` with `out_dtype: bfloat16` avoids ' +
  'most of that in both programs.';

/** Throws ERR_MERGE_FILE at the method, where its arithmetic is not reproduced. */
export function checkCompat({ file, method, methodPlace }: MergeConfig): void {
  if (compatMethods.includes(method)) return;
  const problems = new Problems(file);
  problems.add(
    methodPlace,
    `compat mergekit is not offered for ${method}: it is for ${compatMethods.join(', ')}`,
    'Leave compat out; plan says how results differ.',
  );
  problems.throwIfAny();
}

/** Of the inputs of one tensor. */
export interface StoredDtypes {
  readonly inputs: readonly DTypeName[];
  readonly base?: DTypeName;
}

/**
 * The call that rounds where mergekit does: to `working`, or else to the dtype of the base or of all models. Throws
 * ERR_DTYPE_MISMATCH where that is none of F64, F32, F16 and BF16, or several.
 */
export function compatCall(tensor: ResolvedTensor, stored: StoredDtypes, working?: DTypeName): NativeCall {
  const plain = nativeCall(tensor, tensor.shape);
  const all = [...(stored.base ? [stored.base] : []), ...stored.inputs];
  const empty = tensor.shape.includes(0) || tensor.inputs.length === 0;
  if (empty || tensor.mustEqual || dtypeInfo(all[0]!).kind !== 'float') return plain;
  const dtype = working ?? all[0]!;
  checkWorking(tensor, dtype, (working ?? stored.base) ? [] : stored.inputs);
  const { parameters, inputs, kernel, base } = tensor;
  const copied = kernel === 'passthrough' && inputs[0]!.parameters.scale === undefined;
  // A cast on the way from one dtype to another shows only where all three differ.
  if (copied && (dtype === all[0] || dtype === tensor.dtype)) return plain;
  const weights = inputs.map(({ parameters: { weight, scale } }) => weight ?? scale ?? 1);
  const own = weights.map((weight, i) => ({ of: i, parameters: [weight] }));
  return {
    method: 'rounded',
    row: Math.max(
      tensor.shape.reduce((product, dim) => product * dim, 1),
      1,
    ),
    parameters: [
      dtypeInfo(dtype).index,
      Number(kernel !== 'passthrough'),
      // Weights that are all 0 are left as they are: only deltas come this far with them.
      weights.some((weight) => weight !== 0) ? (parameters.normalize ?? 0) : 0,
      parameters.lambda ?? 1,
    ],
    inputs: base ? [{ of: 'base', parameters: [0] }, ...own] : own,
    ...(base && { base: 0 }),
  };
}

function checkWorking({ name }: ResolvedTensor, dtype: DTypeName, alike: readonly DTypeName[]): void {
  const fail = (what: string): never => {
    throw new WisemergeError('ERR_DTYPE_MISMATCH', `compat mergekit: "${name}" ${what}`, {
      tensor: name,
      hint: 'Give `dtype:` in the merge file, or leave compat out.',
    });
  };
  if (!workingDtypes.includes(dtype))
    fail(`would be computed in ${dtype}, which mergekit has no arithmetic for`);
  const other = alike.find((one) => one !== dtype);
  if (other) fail(`is ${dtype} in one model and ${other} in another, and there is no dtype to compute in`);
}
