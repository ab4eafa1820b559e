/** A 64-bit digest, such as XXH3's, as outputs and journals record it: 16 digits. */
export function hexDigest(hash: { digest(): bigint | number }): string {
  return hash.digest().toString(16).padStart(16, '0');
}
