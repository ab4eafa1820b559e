import { WisemergeError } from '../../errors.js';
import { type Cell, readColumn } from './column.js';

/** The group of each row: hospitals, cameras, subpopulations, for worst-group accuracy. */
export interface Groups {
  /** In natural order: numbers by value, text with numbers in it as people read it (`a2` before `a10`). */
  readonly names: readonly string[];
  /** [N], index into `names`. */
  readonly ids: Int32Array;
}

/**
 * Groups [N] as whole numbers or text from `file` or `file:column` (see `readColumn`). Throws ERR_IO, ERR_DATA
 * or ERR_SAFETENSORS_*.
 */
export async function readGroups(source: string): Promise<Groups> {
  const { file, values, place } = await readColumn(source, 'groups');
  const found = new Map<string, number>();
  const ids = new Int32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const name = groupName(values[i]);
    if (name === undefined) {
      throw new WisemergeError(
        'ERR_DATA',
        `${place(i)}: the group is missing, or neither whole number nor text`,
        {
          file,
          hint: 'Give every row a group; one named "other" will do.',
          details: { row: i },
        },
      );
    }
    const known = found.get(name);
    const id = known ?? found.size;
    if (known === undefined) found.set(name, id);
    ids[i] = id;
  }
  const names = [...found.keys()].sort(naturalOrder);
  const rank = new Int32Array(names.length);
  for (const [position, name] of names.entries()) rank[found.get(name)!] = position;
  return { names, ids: ids.map((id) => rank[id]!) };
}

function groupName(value: Cell): string | undefined {
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : undefined;
  return value === undefined || value === '' ? undefined : String(value);
}

/**
 * Whole numbers come first, by value, negative ones too. In other text runs of digits compare by value and all
 * else by code unit, the same in every locale.
 */
export function naturalOrder(a: string, b: string): number {
  if (isWhole(a) !== isWhole(b)) return isWhole(a) ? -1 : 1;
  if (isWhole(a)) {
    const [x, y] = [BigInt(a), BigInt(b)];
    return x === y ? compare(a, b) : x < y ? -1 : 1;
  }
  const [as, bs] = [a.match(parts) ?? [], b.match(parts) ?? []];
  for (let i = 0; i < Math.min(as.length, bs.length); i++) {
    const [x, y] = [as[i]!, bs[i]!];
    const order = isDigits(x) && isDigits(y) ? compareDigits(x, y) : compare(x, y);
    if (order !== 0) return order;
  }
  return as.length - bs.length || compare(a, b);
}

const parts = /\d+|\D+/g;
const isWhole = (text: string): boolean => /^-?\d+$/.test(text);
const isDigits = (text: string): boolean => /^\d/.test(text);
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function compareDigits(a: string, b: string): number {
  const [x, y] = [a, b].map((digits) => digits.replace(/^0+/, '')) as [string, string];
  return x.length - y.length || compare(x, y);
}
