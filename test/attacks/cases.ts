// Hostile and merely unusual safetensors files, with what a strict reader makes of each: the rules of the
// format, every case the reference reader is known to accept or refuse, and the places where we are stricter
// (marked "strict:" in the name). Bytes are built on demand; the data of every tensor is zero.

export interface AttackCase {
  readonly name: string;
  readonly bytes: () => Buffer;
  readonly accept: boolean;
  /** Code of the error, where `accept` is false. */
  readonly code?: string;
}

type Json = string | Buffer;

/** A whole file: 8-byte length, header, data. `length` lies about the header's length. */
function file(header: Json, dataBytes = 0, length?: bigint): Buffer {
  const json = Buffer.from(header as string);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length ?? BigInt(json.length));
  return Buffer.concat([prefix, json, Buffer.alloc(dataBytes)]);
}

/** One `"name": {...}` member; `name`, `shape` and `offsets` are JSON text, so that they can be malformed. */
function tensor(name: string, dtype: string, shape: string, offsets: string): string {
  return `"${name}":{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`;
}

/** A header whose only tensor is "a", 8 bytes of U8 unless told otherwise. */
function one(fields: { dtype?: string; shape?: string; offsets?: string; extra?: string } = {}): string {
  const { dtype = '"U8"', shape = '[8]', offsets = '[0,8]', extra = '' } = fields;
  return `{"a":{"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}${extra}}}`;
}

/** Tensors "a" and "b" of U8 at the given ranges. */
function two(a: readonly [number, number], b: readonly [number, number]): string {
  const at = (name: string, [begin, end]: readonly [number, number]): string =>
    tensor(name, 'U8', `[${end - begin}]`, `[${begin},${end}]`);
  return `{${at('a', a)},${at('b', b)}}`;
}

/** Header with raw bytes, which a JavaScript string cannot hold, as the name of its only tensor. */
function rawName(...bytes: number[]): Buffer {
  const [before, after] = one().split('"a"') as [string, string];
  return Buffer.concat([Buffer.from(`${before}"`), Buffer.from(bytes), Buffer.from(`"${after}`)]);
}

function accepted(name: string, header: Json, dataBytes = 0): AttackCase {
  return { name, bytes: () => file(header, dataBytes), accept: true };
}

function refused(code: string): (name: string, header: Json, dataBytes?: number) => AttackCase {
  return (name, header, dataBytes = 0) => ({
    name,
    bytes: () => file(header, dataBytes),
    accept: false,
    code: `ERR_SAFETENSORS_${code}`,
  });
}

function refusedFile(code: string, name: string, bytes: () => Buffer): AttackCase {
  return { name, bytes, accept: false, code: `ERR_SAFETENSORS_${code}` };
}

const json = refused('JSON');
const duplicate = refused('DUPLICATE');
const dtype = refused('DTYPE');
const shape = refused('SHAPE');
const offsets = refused('OFFSETS');
const metadata = refused('METADATA');

const bits: Readonly<Record<string, number>> = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
};

const wholeFile: AttackCase[] = [
  refusedFile('TRUNCATED', 'empty file', () => Buffer.alloc(0)),
  refusedFile('TRUNCATED', 'file shorter than 8 bytes', () => Buffer.alloc(7)),
  refusedFile('TRUNCATED', 'N one more than the file holds', () => file('{}', 0, 3n)),
  refusedFile('TRUNCATED', 'N far above the file size', () => file(one(), 8, 1_000_000n)),
  refusedFile('TRUNCATED', 'N at the cap, file tiny', () => file(one(), 8, 100_000_000n)),
  refusedFile('TRUNCATED', 'header cut short', () => file(one(), 8).subarray(0, 20)),
  refusedFile('HEADER_SIZE', 'N = 0, nothing follows', () => Buffer.alloc(8)),
  refusedFile('HEADER_SIZE', 'N = 0', () => file(one(), 8, 0n)),
  refusedFile('HEADER_SIZE', 'N = 1', () => file('{}', 0, 1n)),
  refusedFile('HEADER_SIZE', 'N = 100 000 001', () => file(one(), 8, 100_000_001n)),
  refusedFile('HEADER_SIZE', 'N = 2^32 + 2: right when cut to 32 bits', () => file('{}', 0, 2n ** 32n + 2n)),
  refusedFile('HEADER_SIZE', 'N = 2^53 + 1', () => file('{}', 0, 2n ** 53n + 1n)),
  refusedFile('HEADER_SIZE', 'N = 2^63', () => file('{}', 0, 2n ** 63n)),
  refusedFile('HEADER_SIZE', 'N = 2^64 - 1', () => file('{}', 0, 2n ** 64n - 1n)),
  refusedFile('HEADER_SIZE', 'N = 2^64 - 8: 8 + N wraps to 0', () => file('{}', 0, 2n ** 64n - 8n)),
  refusedFile('JSON', 'N one short of the JSON', () => file(one(), 8, BigInt(one().length - 1))),
  refusedFile('JSON', 'N reaches into the data', () => file(one(), 8, BigInt(one().length + 1))),
];

const ordinary: AttackCase[] = [
  accepted('ordinary file', one(), 8),
  accepted('two tensors', two([0, 8], [8, 12]), 12),
  accepted('no tensors', '{}'),
  accepted('no tensors, metadata', '{"__metadata__":{"format":"pt"}}'),
  accepted('empty metadata', '{"__metadata__":{}}'),
  accepted('metadata after the tensors', `${one().slice(0, -1)},"__metadata__":{"k":"v"}}`, 8),
  accepted('scalar', one({ dtype: '"F32"', shape: '[]', offsets: '[0,4]' }), 4),
  accepted('empty tensor', one({ shape: '[0]', offsets: '[0,0]' })),
  accepted('empty tensor of rank 3', one({ shape: '[3,0,5]', offsets: '[0,0]' })),
  accepted('empty tensor at the start', two([0, 0], [0, 8]), 8),
  accepted('empty tensor at the end', two([0, 8], [8, 8]), 8),
  accepted('names not in the order of the data', two([8, 16], [0, 8]), 16),
  accepted('header length no multiple of 8', `${one()}${' '.repeat(9 - (one().length % 8))}`, 8),
  accepted('space padding', `${one()}    `, 8),
  accepted('newline padding', `${one()}\n\n`, 8),
  accepted('tab padding', `${one()}\t`, 8),
  accepted(
    'spaces between tokens',
    one()
      .replaceAll(/[[\]{}:,]/g, ' $& ')
      .trimStart(),
    8,
  ),
  accepted('extra field in a tensor entry', one({ extra: ',"note":{"deep":[1.5e3,{"x":null}]}' }), 8),
  accepted('escapes in names of fields', one().replace('dtype', 'd\\u0074ype'), 8),
  accepted(
    'header above 25 000 000 bytes',
    Buffer.concat([Buffer.from('{}'), Buffer.alloc(25_000_000, ' ')]),
  ),
  ...Object.entries(bits).map(([name, width]) =>
    accepted(`dtype ${name}`, one({ dtype: `"${name}"`, offsets: `[0,${width}]` }), width),
  ),
  accepted('F4 with an even count', one({ dtype: '"F4"', shape: '[2,3]', offsets: '[0,3]' }), 3),
];

const names: AttackCase[] = [
  accepted('tensor named __proto__', `{${tensor('__proto__', 'U8', '[1]', '[0,1]')}}`, 1),
  accepted('tensor named constructor', `{${tensor('constructor', 'U8', '[1]', '[0,1]')}}`, 1),
  accepted('metadata key __proto__', '{"__metadata__":{"__proto__":"x"}}'),
  accepted(
    'integer-like names against the order of the data',
    `{${['b', '10', '2'].map((name, i) => tensor(name, 'U8', '[1]', `[${i},${i + 1}]`)).join(',')}}`,
    3,
  ),
  accepted('empty name', `{${tensor('', 'U8', '[1]', '[0,1]')}}`, 1),
  accepted('name with path characters', `{${tensor('../../etc/passwd', 'U8', '[1]', '[0,1]')}}`, 1),
  accepted('name outside the BMP', `{${tensor('\u{1f600}', 'U8', '[1]', '[0,1]')}}`, 1),
  accepted('name as a surrogate pair of escapes', `{${tensor('\\ud83d\\ude00', 'U8', '[1]', '[0,1]')}}`, 1),
  accepted('name of 100 000 characters', `{${tensor('x'.repeat(100_000), 'U8', '[1]', '[0,1]')}}`, 1),
  json('strict: NUL in a name, escaped', `{${tensor('a\\u0000b', 'U8', '[1]', '[0,1]')}}`, 1),
  json('NUL in a name, raw', rawName(0x61, 0x00, 0x62), 8),
  json('newline in a name, raw', rawName(0x61, 0x0a), 8),
  json('lone continuation byte in a name', rawName(0x80), 8),
  json('byte 0xff in a name', rawName(0xff), 8),
  json('overlong "/" in a name', rawName(0xc0, 0xaf), 8),
  json('overlong NUL in a name', rawName(0xc0, 0x80), 8),
  json('UTF-8 surrogate in a name', rawName(0xed, 0xa0, 0x80), 8),
  json('UTF-8 above U+10FFFF in a name', rawName(0xf4, 0x90, 0x80, 0x80), 8),
  json('UTF-8 cut short in a name', rawName(0xe2, 0x82), 8),
  json('lone high surrogate escape', `{${tensor('\\ud800', 'U8', '[1]', '[0,1]')}}`, 1),
  json('lone low surrogate escape', `{${tensor('\\udc00', 'U8', '[1]', '[0,1]')}}`, 1),
  json('unknown escape', `{${tensor('\\x41', 'U8', '[1]', '[0,1]')}}`, 1),
];

const syntax: AttackCase[] = [
  json('strict: leading space', ` ${one()}`, 8),
  json('strict: leading newline', `\n${one()}`, 8),
  json('byte order mark', `\ufeff${one()}`, 8),
  json('NUL after the JSON', `${one()}\0`, 8),
  json('NUL padding', `${one()}\0\0\0\0\0\0\0\0`, 8),
  json('second value after the JSON', '{}{}'),
  json('array instead of an object', '[]'),
  json('null instead of an object', 'null'),
  json('spaces only', '        '),
  json('not JSON', 'PK\x03\x04 this is a zip'),
  json('trailing comma', `${one().slice(0, -1)},}`, 8),
  json('trailing comma in a shape', one({ shape: '[8,]' }), 8),
  json('single quotes', one().replaceAll('"', "'"), 8),
  json('comment', one().replace('{', '{/**/'), 8),
  json('leading zero', one({ shape: '[08]' }), 8),
  json('plus sign', one({ shape: '[+8]' }), 8),
  json('hexadecimal', one({ shape: '[0x8]' }), 8),
  json('NaN', one({ shape: '[NaN]' }), 8),
  json('unclosed', one().slice(0, -1), 8),
  json('entry is null', '{"a":null}'),
  json('entry is an array', '{"a":[]}'),
  json('entry without fields', '{"a":{}}'),
  json('dtype missing', one().replace('"dtype":"U8",', ''), 8),
  json('shape missing', one().replace('"shape":[8],', ''), 8),
  json('data_offsets missing', one().replace(',"data_offsets":[0,8]', ''), 8),
  json('deep nesting in an extra field', one({ extra: `,"x":${'['.repeat(1e6)}${']'.repeat(1e6)}` }), 8),
  json('deep nesting, unclosed', `{"a":{"x":${'{"x":'.repeat(1e6)}`),
];

const duplicates: AttackCase[] = [
  duplicate(
    'duplicate name',
    `{${tensor('a', 'U8', '[4]', '[0,4]')},${tensor('a', 'U8', '[4]', '[4,8]')}}`,
    8,
  ),
  duplicate('strict: duplicate name, same range', `{${one().slice(1, -1)},${one().slice(1, -1)}}`, 8),
  duplicate(
    'duplicate name, one escaped',
    `{${tensor('a', 'U8', '[4]', '[0,4]')},${tensor('\\u0061', 'U8', '[4]', '[4,8]')}}`,
    8,
  ),
  duplicate('duplicate dtype', one({ extra: ',"dtype":"U8"' }), 8),
  duplicate('duplicate shape', one({ extra: ',"shape":[8]' }), 8),
  duplicate('duplicate data_offsets', one({ extra: ',"data_offsets":[0,8]' }), 8),
  duplicate('strict: duplicate extra field', one({ extra: ',"x":1,"x":1' }), 8),
  duplicate('duplicate __metadata__', '{"__metadata__":{},"__metadata__":{}}'),
  duplicate('strict: duplicate metadata key', '{"__metadata__":{"k":"1","k":"2"}}'),
];

const types: AttackCase[] = [
  ...['FP4', 'E8M0', 'UE8', 'f32', 'F32 ', 'float32', ''].map((name) =>
    dtype(`unknown dtype "${name}"`, one({ dtype: `"${name}"`, shape: '[0]', offsets: '[0,0]' })),
  ),
  dtype('dtype is a number', one({ dtype: '4' }), 8),
  dtype('dtype is null', one({ dtype: 'null' }), 8),
  shape('negative dimension', one({ shape: '[-8]' }), 8),
  shape('minus zero', one({ shape: '[-0]', offsets: '[0,0]' })),
  shape('float dimension', one({ shape: '[8.0]' }), 8),
  shape('exponent dimension', one({ shape: '[8e0]' }), 8),
  shape('string dimension', one({ shape: '["8"]' }), 8),
  shape('shape is a number', one({ shape: '8' }), 8),
  shape('shape is null', one({ shape: 'null' }), 8),
  shape('dimension of 2^64', one({ shape: '[18446744073709551616]' }), 8),
  shape('strict: dimension of 2^53', one({ shape: '[0,9007199254740992]', offsets: '[0,0]' })),
  shape('strict: rank 65', one({ shape: `[${Array(65).fill(1)}]`, offsets: '[0,1]' }), 1),
  shape('shape product overflows to 0', one({ shape: '[4294967296,4294967296]', offsets: '[0,0]' })),
  shape(
    'bit count overflows to 0',
    one({ dtype: '"F64"', shape: '[4503599627370496,64]', offsets: '[0,0]' }),
  ),
  shape('F4 with an odd count, rounded down', one({ dtype: '"F4"', shape: '[3]', offsets: '[0,1]' }), 1),
  shape('F4 with an odd count, rounded up', one({ dtype: '"F4"', shape: '[3]', offsets: '[0,2]' }), 2),
  shape('F6 that ends inside a byte', one({ dtype: '"F6_E2M3"', shape: '[3]', offsets: '[0,3]' }), 3),
  metadata('metadata value is a number', '{"__metadata__":{"k":1}}'),
  metadata('metadata value is null', '{"__metadata__":{"k":null}}'),
  metadata('metadata value is an object', '{"__metadata__":{"k":{}}}'),
  metadata('metadata is an array', '{"__metadata__":[]}'),
  metadata('metadata is a string', '{"__metadata__":"pt"}'),
  metadata('strict: metadata is null', '{"__metadata__":null}'),
];

const layout: AttackCase[] = [
  offsets('byte size below the shape', one({ offsets: '[0,7]' }), 7),
  offsets('byte size above the shape', one({ offsets: '[0,9]' }), 9),
  offsets('float offset', one({ offsets: '[0,8.0]' }), 8),
  offsets('exponent offset', one({ offsets: '[0,8e0]' }), 8),
  offsets('negative offset', one({ offsets: '[-8,0]' }), 8),
  offsets('string offset', one({ offsets: '["0",8]' }), 8),
  offsets('offsets reversed', one({ offsets: '[8,0]' }), 8),
  offsets('one offset', one({ offsets: '[8]' }), 8),
  offsets('three offsets', one({ offsets: '[0,8,8]' }), 8),
  offsets('offsets are null', one({ offsets: 'null' }), 8),
  offsets(
    'offset above 2^53, 2^53 + 1 as a double is 2^53',
    one({ offsets: '[9007199254740993,9007199254741001]' }),
    8,
  ),
  offsets('offset of 2^64', one({ offsets: '[18446744073709551616,18446744073709551624]' }), 8),
  offsets('end wraps around 2^64', one({ offsets: '[18446744073709551608,0]' }), 8),
  offsets('hole between tensors', two([0, 8], [9, 17]), 17),
  offsets('hole before the first tensor', one({ offsets: '[1,9]' }), 9),
  offsets('overlap', two([0, 8], [4, 12]), 12),
  offsets('alias: two names on the same offsets', two([0, 8], [0, 8]), 8),
  offsets('tensor inside another', two([0, 8], [2, 4]), 8),
  offsets('empty tensor inside another', two([0, 8], [4, 4]), 8),
  offsets('empty tensor past the end', two([0, 8], [9, 9]), 8),
  offsets('trailing byte after the last tensor', one(), 9),
  offsets('trailing byte and no tensors', '{}', 1),
  offsets('file too short by one byte', one(), 7),
  offsets('file without its data', one(), 0),
];

export const attackCases: readonly AttackCase[] = [
  ...wholeFile,
  ...ordinary,
  ...names,
  ...syntax,
  ...duplicates,
  ...types,
  ...layout,
];
