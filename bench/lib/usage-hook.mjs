// Loaded into a measured process with --import: at exit it writes what the process used to file descriptor 3.
//
// Peak memory is VmHWM, not ru_maxrss: a process started by vfork and exec inherits the latter from its parent.
import { readFileSync, writeSync } from 'node:fs';

process.on('exit', () => {
  const { userCPUTime, systemCPUTime, maxRSS, minorPageFault, majorPageFault } = process.resourceUsage();
  const status = field('/proc/self/status', 'VmHWM');
  const usage = {
    userSeconds: userCPUTime / 1e6,
    systemSeconds: systemCPUTime / 1e6,
    peakBytes: 1024 * (status ?? maxRSS),
    pageFaults: minorPageFault + majorPageFault,
    readBytes: field('/proc/self/io', 'read_bytes'),
    writtenBytes: field('/proc/self/io', 'write_bytes'),
    readCalls: field('/proc/self/io', 'syscr'),
    writeCalls: field('/proc/self/io', 'syscw'),
  };
  writeSync(3, JSON.stringify(usage));
});

function field(path, name) {
  try {
    return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(path, 'utf8'))[1]);
  } catch {
    return undefined;
  }
}
