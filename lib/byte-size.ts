const units: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** `5GB` (decimal), `1GiB` (binary) or plain bytes. Throws RangeError that says what to write. */
export function parseByteSize(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text);
  const unit = units[match?.[2]?.toLowerCase() ?? '?'];
  if (!match || unit === undefined) throw new RangeError('Write a size such as 5GB, 512MiB or 1000000.');
  const bytes = Math.round(Number(match[1]) * unit);
  // 2 ** 53: beyond it not every number of bytes is a number.
  if (!Number.isSafeInteger(bytes)) throw new RangeError('Write a size below 8192TiB.');
  return bytes;
}
