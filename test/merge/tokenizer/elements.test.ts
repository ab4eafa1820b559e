// Half precision as doubles and back: every code, and the points between.
import { describe, expect, it } from 'vitest';
import { decode, encode } from '../../../lib/merge/tokenizer/elements.js';

describe.each(['F16', 'BF16'] as const)('%s', (dtype) => {
  const info = { name: 't', dtype, shape: [1], count: 1, file: 'f', offset: 0, bytes: 2 };
  const codes = Uint16Array.from({ length: 2 ** 16 }, (_, i) => i);
  const values = decode(new Uint8Array(codes.buffer), info);
  const encoded = (list: readonly number[]) => new Uint16Array(encode(Float64Array.from(list), info).buffer);

  it('keeps every code', () => {
    const back = encoded([...values]);
    const wrong = codes.filter((code) =>
      Number.isNaN(values[code]!)
        ? !Number.isNaN(decode(new Uint8Array(Uint16Array.of(back[code]!).buffer), info)[0]!)
        : back[code] !== code,
    );
    expect(wrong).toEqual(new Uint16Array());
  });

  it('has the values of the formats', () => {
    const known =
      dtype === 'F16'
        ? [
            [0x3c00, 1],
            [0x3555, 0.333251953125],
            [1, 2 ** -24],
            [0x7bff, 65504],
          ]
        : [
            [0x3f80, 1],
            [0x3eab, 0.333984375],
            [1, 2 ** -133],
            [0x7f7f, 3.3895313892515355e38],
          ];
    for (const [code, value] of known) expect(values[code!]).toBe(value);
  });

  it('rounds to nearest, ties to even', () => {
    const top = dtype === 'F16' ? 0x7bff : 0x7f7f;
    const lower = Array.from({ length: top }, (_, code) => code);
    const middle = lower.map((code) => (values[code]! + values[code + 1]!) / 2);
    expect(encoded(middle)).toEqual(Uint16Array.from(lower, (code) => (code % 2 === 0 ? code : code + 1)));
    expect(encoded(middle.map((value) => -value * (1 + 2 ** -52)))).toEqual(
      Uint16Array.from(lower, (code) => 0x8000 | (code + 1)),
    );
    expect(encoded([1e300, -1e300, 1e-300])).toEqual(Uint16Array.of(top + 1, 0x8000 | (top + 1), 0));
  });
});
