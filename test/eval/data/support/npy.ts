// Bytes of the .npy format, put together from its published description (numpy.lib.format).

export interface NpyParts {
  readonly version?: readonly [number, number];
  /** The dictionary's text. */
  readonly dict: string;
  readonly data?: NodeJS.ArrayBufferView;
  /** Header length to declare instead of the true one. */
  readonly declaredLength?: number;
}

/** Magic, version, header length, dictionary padded with spaces to 64 bytes and ended by a new line, data. */
export function npyBytes({ version = [1, 0], dict, data, declaredLength }: NpyParts): Buffer {
  const lengthBytes = version[0] === 1 ? 2 : 4;
  const start = 8 + lengthBytes;
  const total = Math.ceil((start + dict.length + 1) / 64) * 64;
  const header = Buffer.alloc(total, ' ');
  header.write('\x93NUMPY', 'latin1');
  header[6] = version[0];
  header[7] = version[1];
  header.writeUIntLE(declaredLength ?? total - start, 8, lengthBytes);
  header.write(dict, start, 'latin1');
  header[total - 1] = 0x0a;
  return Buffer.concat([header, data ? bytesOf(data) : Buffer.alloc(0)]);
}

/** An array as numpy.save writes it. */
export function npy(descr: string, shape: readonly number[], data: NodeJS.ArrayBufferView): Buffer {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  return npyBytes({ dict: `{'descr': '${descr}', 'fortran_order': False, 'shape': ${tuple}, }`, data });
}

function bytesOf(view: NodeJS.ArrayBufferView): Buffer {
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength);
}
