/**
 * What a scalar means in YAML 1.1 (yaml.org/type: null, bool, int, float), as the readers have it that existing
 * files were written for: `y` and `n` are text, and floats without a point or with an unsigned exponent are
 * text that is taken as a number later.
 */
export type ScalarValue =
  | { readonly kind: 'null' }
  | { readonly kind: 'boolean'; readonly value: boolean }
  /** `notation` names one that surprises people. */
  | { readonly kind: 'number'; readonly value: number; readonly notation?: 'octal' | 'base 60' }
  | { readonly kind: 'text'; readonly value: string };

/** `plain`: written without quotes; only then does it have a type. */
export function readScalar(text: string, plain: boolean): ScalarValue {
  if (!plain) return { kind: 'text', value: text };
  if (/^(~|null|Null|NULL|)$/.test(text)) return { kind: 'null' };
  if (/^(yes|Yes|YES|true|True|TRUE|on|On|ON)$/.test(text)) return { kind: 'boolean', value: true };
  if (/^(no|No|NO|false|False|FALSE|off|Off|OFF)$/.test(text)) return { kind: 'boolean', value: false };
  return readInteger(text) ?? readFloat(text) ?? { kind: 'text', value: text };
}

/** Types that a scalar may be given with a tag, `!!float 1`. */
export const scalarTags = ['null', 'bool', 'int', 'float', 'str'].map((name) => `tag:yaml.org,2002:${name}`);

/** The value of a scalar with one of these tags; undefined where it is none of that type. */
export function readTagged(text: string, tag: string): ScalarValue | undefined {
  if (tag.endsWith(':str')) return { kind: 'text', value: text };
  const plain = readScalar(text, true);
  if (tag.endsWith(':null')) return plain.kind === 'null' ? plain : undefined;
  if (tag.endsWith(':bool')) return plain.kind === 'boolean' ? plain : undefined;
  const value = plain.kind === 'boolean' ? undefined : toNumber(plain);
  if (value === undefined || (tag.endsWith(':int') && !Number.isInteger(value))) return undefined;
  return plain.kind === 'number' ? plain : { kind: 'number', value };
}

function readInteger(text: string): ScalarValue | undefined {
  const [, sign, body] = /^([-+]?)(.*)$/s.exec(text)!;
  const digits = body!.replaceAll('_', '');
  const number = (value: number, notation?: 'octal' | 'base 60'): ScalarValue => ({
    kind: 'number',
    value: sign === '-' ? -value : value,
    ...(notation && { notation }),
  });
  if (/^(0|[1-9][0-9_]*)$/.test(body!)) return number(Number(digits));
  if (/^0[0-7_]+$/.test(body!)) return number(digits === '' ? 0 : Number.parseInt(digits, 8), 'octal');
  if (/^0x[0-9a-fA-F_]+$/.test(body!) && digits.length > 2) return number(Number(digits));
  if (/^0b[01_]+$/.test(body!) && digits.length > 2) return number(Number(digits));
  if (/^[1-9][0-9_]*(:[0-5]?[0-9])+$/.test(body!)) return number(sexagesimal(digits), 'base 60');
  return undefined;
}

function readFloat(text: string): ScalarValue | undefined {
  const [, sign, body] = /^([-+]?)(.*)$/s.exec(text)!;
  const digits = body!.replaceAll('_', '');
  const number = (value: number, notation?: 'base 60'): ScalarValue => ({
    kind: 'number',
    value: sign === '-' ? -value : value,
    ...(notation && { notation }),
  });
  if (/^[0-9][0-9_]*\.[0-9_]*([eE][-+][0-9]+)?$/.test(body!)) return number(Number(digits));
  // A sign before the point makes it text, which means the same number in the end.
  if (sign === '' && /^\.[0-9][0-9_]*([eE][-+][0-9]+)?$/.test(body!)) return number(Number(digits));
  if (/^[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*$/.test(body!)) return number(sexagesimal(digits), 'base 60');
  if (/^\.(inf|Inf|INF)$/.test(body!)) return number(Number.POSITIVE_INFINITY);
  if (sign === '' && /^\.(nan|NaN|NAN)$/.test(body!)) return number(Number.NaN);
  return undefined;
}

function sexagesimal(digits: string): number {
  return digits.split(':').reduce((sum, part) => 60 * sum + Number(part), 0);
}

/**
 * The number that a scalar stands for where one is wanted: booleans are 1 and 0, text is read as a decimal
 * number (`1e-5`, `'0.5'`, `08`). Undefined for null and other text.
 */
export function toNumber(scalar: ScalarValue): number | undefined {
  if (scalar.kind === 'number') return scalar.value;
  if (scalar.kind === 'boolean') return scalar.value ? 1 : 0;
  if (scalar.kind === 'null') return undefined;
  const text = scalar.value.trim();
  if (/^[-+]?(inf|infinity|nan)$/i.test(text)) {
    return /nan/i.test(text) ? Number.NaN : text.startsWith('-') ? -Infinity : Infinity;
  }
  const decimal = /^[-+]?(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)([eE][-+]?\d+(_\d+)*)?$/;
  return decimal.test(text) ? Number(text.replaceAll('_', '')) : undefined;
}
