// A writer of small Parquet files: required columns, PLAIN encoding, one data page (v1) per column chunk.
// Source: apache/parquet-format, parquet.thrift and README; Thrift compact protocol specification.
import { gzipSync } from 'node:zlib';

export interface ParquetColumn {
  readonly name: string;
  readonly values: readonly (bigint | string | number)[];
}

const types = { bigint: 2, number: 5, string: 6 } as const;
const codecs = { none: 0, gzip: 2, zstd: 6 } as const;

/** `rowsPerGroup` cuts the rows into row groups. Numbers are DOUBLE, bigints INT64, strings UTF8 BYTE_ARRAY. */
export function parquet(
  columns: readonly ParquetColumn[],
  options: { rowsPerGroup?: number; codec?: keyof typeof codecs; declaredRows?: number } = {},
): Buffer {
  const rows = columns[0]!.values.length;
  const { rowsPerGroup = rows, codec = 'none', declaredRows = rows } = options;
  const body: Buffer[] = [Buffer.from('PAR1')];
  let offset = 4;
  const groups: Buffer[] = [];
  for (let first = 0; first < rows; first += rowsPerGroup) {
    const count = Math.min(rowsPerGroup, rows - first);
    const chunks = columns.map(({ name, values }) => {
      const part = values.slice(first, first + count);
      const data = Buffer.concat(part.map(plain));
      const packed = codec === 'gzip' ? gzipSync(data) : data;
      const dataPage = struct([1, i32(count)], [2, i32(0)], [3, i32(3)], [4, i32(3)]);
      const header = struct([1, i32(0)], [2, i32(data.length)], [3, i32(packed.length)], [5, dataPage]);
      const start = offset;
      body.push(header.bytes, packed);
      offset += header.bytes.length + packed.length;
      const meta = struct(
        [1, i32(typeOf(values))],
        [2, list([i32(0)])],
        [3, list([text(name)])],
        [4, i32(codecs[codec])],
        [5, i64(count)],
        [6, i64(header.bytes.length + data.length)],
        [7, i64(offset - start)],
        [9, i64(start)],
      );
      return struct([2, i64(start)], [3, meta]);
    });
    groups.push(struct([1, list(chunks)], [2, i64(0)], [3, i64(count)]).bytes);
  }
  const schema = [
    struct([4, text('schema')], [5, i32(columns.length)]),
    ...columns.map(({ name, values }) => {
      const type = typeOf(values);
      const utf8: Field[] = type === types.string ? [[6, i32(0)]] : [];
      return struct([1, i32(type)], [3, i32(0)], [4, text(name)], ...utf8);
    }),
  ];
  const footer = struct(
    [1, i32(1)],
    [2, list(schema)],
    [3, i64(declaredRows)],
    [4, { type: 9, bytes: list(groups.map((bytes) => ({ type: 12, bytes }))).bytes }],
  ).bytes;
  const length = Buffer.alloc(4);
  length.writeUInt32LE(footer.length);
  return Buffer.concat([...body, footer, length, Buffer.from('PAR1')]);
}

function typeOf(values: ParquetColumn['values']): number {
  return types[typeof values[0] as keyof typeof types];
}

function plain(value: bigint | string | number): Buffer {
  if (typeof value === 'string') {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(Buffer.byteLength(value));
    return Buffer.concat([length, Buffer.from(value)]);
  }
  const word = Buffer.alloc(8);
  if (typeof value === 'bigint') word.writeBigInt64LE(value);
  else word.writeDoubleLE(value);
  return word;
}

/** A value of the compact protocol with its type number. */
interface Value {
  readonly type: number;
  readonly bytes: Buffer;
}
type Field = readonly [id: number, value: Value];

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

const zigzag = (value: number): Buffer => varint(BigInt(value) << 1n);
const i32 = (value: number): Value => ({ type: 5, bytes: zigzag(value) });
const i64 = (value: number): Value => ({ type: 6, bytes: zigzag(value) });
const text = (value: string): Value => ({
  type: 8,
  bytes: Buffer.concat([varint(BigInt(Buffer.byteLength(value))), Buffer.from(value)]),
});

/** Short form: up to 14 elements. */
function list(values: readonly Value[]): Value {
  const header = Buffer.from([(values.length << 4) | (values[0]?.type ?? 12)]);
  return { type: 9, bytes: Buffer.concat([header, ...values.map(({ bytes }) => bytes)]) };
}

function struct(...fields: readonly Field[]): Value {
  let last = 0;
  const parts = fields.map(([id, { type, bytes }]) => {
    const header = Buffer.from([((id - last) << 4) | type]);
    last = id;
    return Buffer.concat([header, bytes]);
  });
  return { type: 12, bytes: Buffer.concat([...parts, Buffer.from([0])]) };
}
