/** Equal dimensions from `first` on, and as many. */
export function sameShape(a: readonly number[], b: readonly number[], first = 0): boolean {
  return a.length === b.length && a.every((dim, i) => i < first || dim === b[i]);
}
