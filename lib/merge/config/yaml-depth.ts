import type { CST } from 'yaml';

/** Levels of brackets and indentation: what follows goes down them by recursion, and V8 ends the process where some stacks run out. */
const deepest = 500;

/** The offset of what stands too deep in a file; undefined if nothing does. Looks without recursion. */
export function tooDeep(tokens: readonly CST.Token[]): number | undefined {
  const rest = tokens.map((token) => ({ token, depth: 0 }));
  for (let next = rest.pop(); next; next = rest.pop()) {
    const { token, depth } = next;
    if (depth > deepest) return token.offset;
    for (const child of childrenOf(token)) rest.push({ token: child, depth: depth + 1 });
  }
  return undefined;
}

function childrenOf(token: CST.Token): CST.Token[] {
  if (token.type === 'document') return token.value ? [token.value] : [];
  if (!('items' in token)) return [];
  return token.items.flatMap((item) => [item.key, item.value].filter((one) => one != null));
}
