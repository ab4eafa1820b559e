import { availableParallelism, freemem, totalmem } from 'node:os';
import { resolve } from 'node:path';
import { measureDiskSpeed } from '../../checkpoint/disk-speed.js';
import { type DeviceReport, devices, versions } from '../../native.js';
import { version } from '../../version.js';
import { formatBytes, style } from '../format.js';
import { note, type OutputFlags, printResult } from '../terminal.js';

export interface DoctorFlags extends OutputFlags {
  readonly disk: string;
}

/** What this installation can use, and why not where it cannot. */
export async function runDoctor(flags: DoctorFlags, signal: AbortSignal): Promise<void> {
  const directory = resolve(flags.disk);
  note(flags, `measuring the disk of ${directory} …`);
  const result = {
    wisemerge: version,
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    addon: versions,
    devices: devices(),
    cpus: availableParallelism(),
    memory: { total: totalmem(), free: freemem() },
    disk: { directory, ...(await measureDiskSpeed(directory, { signal })) },
  };
  printResult(flags, result, () => {
    const rows: [string, string][] = [
      ['wisemerge', `${version}, Node ${process.version}, ${result.platform}`],
      ['addon', `${versions.addon}, Node-API ${versions.napi}, backend ABI ${versions.backendAbi}`],
      ...result.devices.map((device): [string, string] => [device.backend, describeDevice(device)]),
      ['memory', `${formatBytes(result.memory.free)} free of ${formatBytes(result.memory.total)}`],
      [
        'disk',
        `reads ${formatBytes(result.disk.read)}/s, writes ${formatBytes(result.disk.write)}/s in ${directory}`,
      ],
    ];
    return rows.map(([label, text]) => `${style('bold', label.padEnd(10))} ${text}`).join('\n');
  });
}

function describeDevice({
  available,
  reason,
  name,
  isa,
  computeUnits,
  memoryTotal,
  ordinal,
  backend,
}: DeviceReport): string {
  if (!available) return `not available: ${reason ?? 'unknown reason'}`;
  if (backend === 'cpu') return `${name}, ${computeUnits} threads, ${isa}`;
  return `${ordinal}: ${name}, ${isa}, ${formatBytes(memoryTotal ?? 0)}`;
}
