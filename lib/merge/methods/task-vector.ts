// What the task-vector family has in common: task arithmetic and everything that sparsifies deltas first.
import { int8Mask, lambda } from './parameters.js';
import type { ParameterSpec } from './spec.js';

export const familyParameters: readonly ParameterSpec[] = [lambda, int8Mask];

export const sumFormula = (delta: string): string[] => [
  `mixed = Σ w_i ${delta}`,
  'normalize: mixed /= Σ w_i',
  'r = b + lambda mixed',
];

export const consensusFormula = (delta: string): string[] => [
  `D_i = w_i ${delta}`,
  'per element: elected = + if Σ D_i >= 0, else -; m_i = 1 where D_i has the elected sign (zeros never do)',
  'mixed = Σ D_i m_i',
  'normalize: mixed /= Σ w_i m_i where that is not 0',
  'r = b + lambda mixed',
];

export const rescaleLine = "rescale: d_i' *= Σ|d_i| / Σ|d_i'|, unless either sum is below 1e-7";

export const familyDifferences: readonly string[] = [
  'Every model must have the shape of the base. A mismatch is an error; mergekit warns and leaves the model out.',
];

export const sumDifference =
  'Weights that cancel out are an error with normalize; mergekit silently skips the division.';
