// The public entry: whatever it exports is documented.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import * as api from '../lib/index.js';

const root = join(import.meta.dirname, '..');
const pages = ['README.md', ...readdirSync(join(root, 'docs')).map((name) => join('docs', name))];
const text = pages.map((page) => readFileSync(join(root, page), 'utf8')).join('\n');

it.each(Object.keys(api))('%s is documented', (name) => {
  // As code: many a name is a word, too.
  const code = `\`${name}[\`(]|\\b${name}\\(|import \\{[^}]*\\b${name}\\b[^}]*\\} from 'wisemerge'`;
  expect(text).toMatch(new RegExp(code));
});
