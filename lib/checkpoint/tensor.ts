import { type DTypeInfo, type DTypeName, dtypeByName } from '../native.js';

/** One tensor as the headers describe it. Nothing of its data has been read. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: DTypeName;
  readonly shape: readonly number[];
  /** Number of elements: the product of `shape`, 1 for a scalar. */
  readonly count: number;
  /** Path of the file that holds it. */
  readonly file: string;
  /** Byte offset of the first element in that file. */
  readonly offset: number;
  /** Size in bytes. */
  readonly bytes: number;
}

export function dtypeInfo(name: DTypeName): DTypeInfo {
  return dtypeByName(name) as DTypeInfo;
}

/** Bytes per element; sub-byte dtypes give a fraction. */
export function itemSize(dtype: DTypeName): number {
  return dtypeInfo(dtype).bits / 8;
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

export function formatShape(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

/** As many dimensions, all equal but that of the axis `except`. */
export function sameShape(a: readonly number[], b: readonly number[], except?: number): boolean {
  return a.length === b.length && a.every((dim, i) => i === except || dim === b[i]);
}
