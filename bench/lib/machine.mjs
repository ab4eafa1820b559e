// What a figure depends on besides the program.
import { readFileSync, statfsSync } from 'node:fs';
import { arch, availableParallelism, cpus, loadavg, platform, release, totalmem } from 'node:os';

const fileSystems = new Map([
  [0xef53, 'ext4'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x01021994, 'tmpfs'],
  [0x794c7630, 'overlayfs'],
  [0x6969, 'nfs'],
]);

export function describeMachine(directory) {
  const { type } = statfsSync(directory);
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    platform: `${platform()}-${arch()}`,
    kernel: release(),
    transparentHugePages: /\[(\w+)\]/.exec(text('/sys/kernel/mm/transparent_hugepage/enabled'))?.[1],
    fileSystem: fileSystems.get(type) ?? `0x${type.toString(16)}`,
    node: process.version,
  };
}

/** Load average over one minute, now. */
export function load() {
  return loadavg()[0];
}

/** Counters of all CPUs since boot, or undefined off Linux; two of them give `busyBetween`. */
export function cpuCounters() {
  const fields = /^cpu +(.*)$/m.exec(text('/proc/stat'))?.[1].split(' ').map(Number);
  if (!fields) return undefined;
  const [user, nice, system, idle, iowait, irq, softirq, steal] = fields;
  return { total: user + nice + system + idle + iowait + irq + softirq + steal, steal };
}

/** The share of CPU time that the host took away between two readings. */
export function stealBetween(before, after) {
  return before && after && after.total > before.total
    ? (after.steal - before.steal) / (after.total - before.total)
    : undefined;
}

function text(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
