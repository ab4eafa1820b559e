import { type CST, Lexer, Parser } from 'yaml';

/** Levels of brackets and indentation: the parser goes down them by recursion, and V8 ends the process where some stacks run out. */
const deepest = 500;

/** The syntax of a file. `deep` is the offset of what stands too deep in it: nothing from there on is parsed. */
export function parseTokens(
  source: string,
  onNewLine: (offset: number) => void,
): { readonly tokens: CST.Token[]; readonly deep?: number } {
  const parser = new Parser(onNewLine);
  const tokens: CST.Token[] = [];
  onNewLine(0);
  for (const lexeme of new Lexer().lex(source)) {
    const { offset } = parser;
    tokens.push(...parser.next(lexeme));
    // The document is the first on the stack.
    if (parser.stack.length - 1 > deepest) return { tokens, deep: offset };
  }
  tokens.push(...parser.end());
  return { tokens };
}
