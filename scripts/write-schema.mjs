// Writes the JSON Schema of sweep files for editors; a test holds it to the schema that checks them.
import { mkdirSync, writeFileSync } from 'node:fs';
import { sweepJsonSchema } from '../dist/sweep/sweep-options.js';

mkdirSync(new URL('../schema/', import.meta.url), { recursive: true });
const path = new URL('../schema/sweep.schema.json', import.meta.url);
writeFileSync(path, `${JSON.stringify(sweepJsonSchema(), null, 2)}\n`);
