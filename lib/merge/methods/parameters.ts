// Parameters that several methods share, so that they read alike everywhere.
import type { Finding, ParameterSpec, TensorValues } from './spec.js';
import { total } from './spec.js';

export const weight: ParameterSpec = {
  name: 'weight',
  scope: 'model',
  type: 'number',
  doc: 'w_i, of any sign. A model with weight 0 takes no part, even if it holds NaN.',
};

export const optionalWeight: ParameterSpec = { ...weight, default: 1 };

/** Where a negative weight would make a divisor, or a system to be solved, that is not positive. */
export const positiveWeight: ParameterSpec = {
  ...optionalWeight,
  range: { min: 0 },
  doc: 'w_i. A model with weight 0 takes no part, even if it holds NaN.',
};

export function normalize(initial: 0 | 1, doc = 'Divide by the sum of the weights.'): ParameterSpec {
  return { name: 'normalize', scope: 'global', type: 'boolean', default: initial, doc };
}

export function rescale(initial: 0 | 1): ParameterSpec {
  return {
    name: 'rescale',
    scope: 'global',
    type: 'boolean',
    default: initial,
    doc: 'Give each sparsified delta the L1 norm that it had before sparsification.',
  };
}

export const lambda: ParameterSpec = {
  name: 'lambda',
  scope: 'global',
  type: 'number',
  default: 1,
  doc: 'Factor for the merged delta, after normalisation.',
};

export const density: ParameterSpec = {
  name: 'density',
  scope: 'model',
  type: 'number',
  default: 1,
  range: { min: 0 },
  doc: 'Fraction of the elements of the delta to keep. At 1 and above the delta is used unchanged, at 0 not at all.',
};

export const int8Mask: ParameterSpec = {
  name: 'int8_mask',
  scope: 'global',
  type: 'boolean',
  default: 0,
  ignored: 'in mergekit it sets the type of a temporary mask, which does not affect the result',
  doc: 'No effect.',
};

/** Whether weights sum to 0. Sums such as 0.1 + 0.2 - 0.3 do but for their rounding. */
export function weightsCancel(inputs: TensorValues['inputs']): boolean {
  const scale = inputs.reduce((most, { weight: one }) => Math.max(most, Math.abs(one!)), 0);
  return Math.abs(total(inputs, 'weight')) <= 1e-12 * scale;
}

/** Of normalised sums without sign consensus. */
export function checkWeightSum({ parameters, inputs }: TensorValues): Finding | undefined {
  if (inputs.length === 0 || parameters.normalize === 0 || !weightsCancel(inputs)) return undefined;
  return {
    error: `the weights ${inputs.map(({ weight: one }) => one).join(', ')} sum to 0, which nothing can be divided by`,
    fix: 'Change a weight, or set normalize: false.',
  };
}

/** The same for sums of deltas. Where no model has a weight there is nothing to divide: the base is kept. */
export function checkDeltaWeightSum(values: TensorValues): Finding | undefined {
  return values.inputs.some(({ weight: one }) => one !== 0) ? checkWeightSum(values) : undefined;
}
