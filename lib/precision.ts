/**
 * Of matrix products: `exact` gives the same bits on every device, `fast` is by tensor cores and within the bound of
 * docs/numerics.md, `tf32` leaves a network's products of many rows to cuBLASLt, which rounds operands to 11 bits.
 */
export const precisions = ['exact', 'fast', 'tf32'] as const;
export type Precision = (typeof precisions)[number];
