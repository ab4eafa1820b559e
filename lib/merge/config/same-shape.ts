/** As many dimensions, all equal but that of the axis `except`. */
export function sameShape(a: readonly number[], b: readonly number[], except?: number): boolean {
  return a.length === b.length && a.every((dim, i) => i === except || dim === b[i]);
}
