import { dtypes, type HeaderColumns } from '../native.js';
import { elementCount, type TensorInfo } from './tensor.js';

/** One file of weights as its header describes it: what is in it and where, whatever its format. */
export interface WeightFile {
  readonly path: string;
  /** Base name of `path`. */
  readonly name: string;
  readonly size: number;
  readonly mtimeMs: number;
  /** In order of data offset. Those of a file of torch.save may share bytes. */
  readonly tensors: readonly TensorInfo[];
  readonly metadata: ReadonlyMap<string, string>;
  /** XXH3-64 of what describes the tensors, 16 hex digits: identifies names, shapes and layout. */
  readonly headerHash: string;
}

/** Tensors of a file whose data offsets count from `dataStart`. */
export function toTensors(columns: HeaderColumns, path: string, dataStart: number): TensorInfo[] {
  const { names, dims, dimEnds, begins, ends } = columns;
  const tensors: TensorInfo[] = new Array(columns.count);
  for (let i = 0, dim = 0; i < columns.count; i++) {
    const shape = Array.from(dims.subarray(dim, dimEnds[i]));
    dim = dimEnds[i]!;
    tensors[i] = {
      name: names[i]!,
      dtype: dtypes[columns.dtypes[i]!]!.name,
      shape,
      count: elementCount(shape),
      file: path,
      offset: dataStart + begins[i]!,
      bytes: ends[i]! - begins[i]!,
    };
  }
  return tensors;
}
