// Writes the description of all merge methods from their specs; a test holds it to them.
import { writeFileSync } from 'node:fs';
import { methodsMarkdown } from '../dist/merge/methods/document.js';

writeFileSync(new URL('../docs/methods.md', import.meta.url), methodsMarkdown());
