/** Texts in JSON, and what Python's json writes for numbers that JSON does not have. */
const words = /"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b/g;

/**
 * Parses a JSON text. Reads `Infinity`, which configurations of Mamba 2 and its hybrids hold (`time_step_limit`), as the number,
 * and `NaN` as null. Throws SyntaxError.
 */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const spelled = text.replace(words, (word) =>
      word.startsWith('"') ? word : word === 'NaN' ? 'null' : word.replace('Infinity', '1e999'),
    );
    // The message is about the text as it is.
    if (spelled === text) throw error;
    return JSON.parse(spelled);
  }
}

/**
 * Replaces values at dotted paths (`text_config.num_hidden_layers`) in the text of a JSON object. Works on the text:
 * parsing and printing would respell numbers (`1e-05`, `10000.0`), which readers with strict types tell apart, and
 * reorder integer keys. A key that is not there is put first into its object; the objects on the way must exist.
 */
export async function replaceInJson(
  text: string,
  changes: Readonly<Record<string, unknown>>,
): Promise<string> {
  // Loaded here: few runs change a configuration, and every start of the program would pay for the parser.
  const { isMap, isNode, parseDocument } = await import('yaml');
  let changed = text;
  for (const [path, value] of Object.entries(changes)) {
    const keys = path.split('.');
    const document = parseDocument(changed);
    const node = document.getIn(keys, true);
    const json = JSON.stringify(value);
    if (isNode(node) && node.range) {
      changed = changed.slice(0, node.range[0]) + json + changed.slice(node.range[1]);
      continue;
    }
    const parent = keys.length > 1 ? document.getIn(keys.slice(0, -1), true) : document.contents;
    if (!isMap(parent) || !parent.range) throw new Error(`there is no object for "${path}"`);
    const at = parent.range[0] + 1;
    const entry = `${JSON.stringify(keys.at(-1))}: ${json}${parent.items.length > 0 ? ', ' : ''}`;
    changed = changed.slice(0, at) + entry + changed.slice(at);
  }
  return changed;
}
