// Carries a merge file out and prints the peak of the process's memory in bytes; without arguments, that of a process
// that does nothing:  node peak-child.mjs [OPTIONS AS JSON]
import { readFileSync } from 'node:fs';

const options = process.argv[2];
if (options !== undefined) {
  const { mergeFile } = await import('../../dist/merge/many/merge-file.js');
  await mergeFile(JSON.parse(options));
}
// Not ru_maxrss, which a process started by vfork and exec inherits from its parent.
const [, kilobytes] = /^VmHWM:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'));
console.log(1024 * Number(kilobytes));
