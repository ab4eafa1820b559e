import type { TokenRule, TokenSource } from './rules.js';
import type { TokenizerFile } from './tokenizer-file.js';

/** What stands in an output row that is not a row of the model itself. */
export type RowSource =
  | { readonly kind: 'zero' }
  /** The mean of these rows; a copy of a single one. */
  | { readonly kind: 'rows'; readonly rows: readonly { readonly model: number; readonly row: number }[] }
  /** The mean of the rows of all tokens of the model itself. */
  | { readonly kind: 'mean' };

/** How one model's embedding is mapped to the output vocabulary. */
export interface RowMap {
  /** Output row to the model's row; -1 where `others` says what stands there. */
  readonly own: Int32Array;
  readonly others: ReadonlyMap<number, RowSource>;
  /** Rows of all tokens of the model, ascending. */
  readonly tokenRows: Int32Array;
}

/**
 * Row maps of all models. A token's row is the model's own; where it has none, the base's, else that of the sole
 * owner, else the owners' mean; rows without a token (padding) are the mean of the model's rows. `rules` override.
 *
 * `tokens`: output token to row; `rows`: of the output.
 */
export function mapRows(
  models: readonly TokenizerFile[],
  base: number | undefined,
  tokens: ReadonlyMap<string, number>,
  rows: number,
  rules: ReadonlyMap<string, TokenRule>,
): RowMap[] {
  return models.map((own) => {
    const map = new Int32Array(rows).fill(-1);
    const others = new Map<number, RowSource>();
    for (const [token, row] of tokens) {
      const rule = rules.get(token);
      const mine = own.tokens.get(token);
      if (mine !== undefined && !(rule?.force && rule.source)) map[row] = mine;
      else others.set(row, rule?.source ? ruled(models, token, rule.source) : inherited(models, base, token));
    }
    const named = new Set(tokens.values());
    for (let row = 0; row < rows; row++) if (!named.has(row)) others.set(row, { kind: 'mean' });
    return { own: map, others, tokenRows: Int32Array.from(own.tokens.values()).sort() };
  });
}

/**
 * A row map as the native stream takes it: a row of table 0, or -1 - k for the mean of the k-th mix of rows. Table t is
 * the tensor of `models[t]`; the first is the model's own.
 */
export interface NativeRowMap {
  readonly models: readonly number[];
  readonly rows: Int32Array;
  readonly mixEnds: Uint32Array;
  readonly tables: Uint32Array;
  readonly tableRows: Uint32Array;
}

export function toNativeRowMap({ own, others, tokenRows }: RowMap, model: number): NativeRowMap {
  const models = [model];
  const table = (of: number): number => (models.includes(of) ? models.indexOf(of) : models.push(of) - 1);
  const rows = Int32Array.from(own);
  const ends: number[] = [];
  const parts: { table: number; row: number }[] = [];
  let mean: number | undefined;
  for (const [row, source] of others) {
    // All rows of the mean share a mix.
    const mix = source.kind === 'mean' ? (mean ?? ends.length) : ends.length;
    rows[row] = -1 - mix;
    if (mix < ends.length) continue;
    if (source.kind === 'mean') {
      mean = mix;
      for (const one of tokenRows) parts.push({ table: 0, row: one });
    } else if (source.kind === 'rows') {
      for (const part of source.rows) parts.push({ table: table(part.model), row: part.row });
    }
    ends.push(parts.length);
  }
  return {
    models,
    rows,
    mixEnds: Uint32Array.from(ends),
    tables: Uint32Array.from(parts, (part) => part.table),
    tableRows: Uint32Array.from(parts, (part) => part.row),
  };
}

/** Rows that each of its tables must have at least. */
export function neededRows({ models, rows, tables, tableRows }: NativeRowMap): number[] {
  const needed = models.map(() => 0);
  for (const row of rows) needed[0] = Math.max(needed[0]!, row + 1);
  for (const [i, table] of tables.entries()) needed[table] = Math.max(needed[table]!, tableRows[i]! + 1);
  return needed;
}

/** True where remapping a tensor of `rows` rows would give it back. */
export function isIdentity({ own }: RowMap, rows: number): boolean {
  return own.length === rows && own.every((row, i) => row === i);
}

function inherited(models: readonly TokenizerFile[], base: number | undefined, token: string): RowSource {
  const owners = models.flatMap(({ tokens }, model) => {
    const row = tokens.get(token);
    return row === undefined ? [] : [{ model, row }];
  });
  // A tokenizer that no model brings may have tokens of its own.
  if (owners.length === 0) return { kind: 'mean' };
  const ofBase = owners.find(({ model }) => model === base);
  return { kind: 'rows', rows: ofBase ? [ofBase] : owners };
}

function ruled(models: readonly TokenizerFile[], token: string, source: TokenSource): RowSource {
  if (source.kind === 'zero') return { kind: 'zero' };
  const { tokens } = models[source.model]!;
  const of = source.kind === 'model' ? token : source.token;
  return {
    kind: 'rows',
    rows: [{ model: source.model, row: typeof of === 'number' ? of : tokens.get(of)! }],
  };
}
