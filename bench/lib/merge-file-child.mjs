// Carries a merge file out through the API: node merge-file-child.mjs '{"config": …, "out": …}'
import { mergeFile } from '../../dist/merge/many/merge-file.js';

await mergeFile(JSON.parse(process.argv[2]));
