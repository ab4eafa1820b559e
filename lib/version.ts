import { createRequire } from 'node:module';

/** This package's version. `package.json` lies one level above both `lib/` and `dist/`. */
export const version: string = (createRequire(import.meta.url)('../package.json') as { version: string })
  .version;
