import { WisemergeError } from '../errors.js';
import { devices, type EngineOptions, engineOptions } from '../native.js';
import type { Precision } from '../precision.js';

export interface NetworkDevice {
  /**
   * `cpu`, `cuda` or `cuda:N`; `auto`: a GPU if one can be used, else the CPU. With `exact` precision the results are
   * the same bits.
   */
  readonly device?: string;
  /**
   * `exact`; `fast`: products by a GPU's tensor cores, within the bound of docs/numerics.md; `tf32`: the same, with large ones by
   * cuBLASLt. Default: `exact`.
   */
  readonly precision?: Precision;
}

/**
 * The device that whole networks are evaluated on, `cpu` or `cuda:N`. Other precisions than `exact` ask for a GPU. Throws
 * ERR_USAGE for what is no device, and for them on the CPU.
 */
export function networkDevice({ device = 'auto', precision = 'exact' }: NetworkDevice): string {
  if (!/^(auto|cpu|cuda(:\d+)?)$/.test(device)) {
    throw new WisemergeError('ERR_USAGE', `device: must be auto, cpu, cuda or cuda:N, not "${device}"`);
  }
  if (precision !== 'exact' && device === 'cpu') {
    throw new WisemergeError(
      'ERR_USAGE',
      `precision ${precision} is for tensor cores; the CPU is always exact`,
      {
        hint: 'Evaluate on a GPU (device cuda), or leave precision out.',
      },
    );
  }
  if (device === 'cuda') return 'cuda:0';
  if (device !== 'auto') return device;
  const gpu = devices().find(({ backend, available }) => backend === 'cuda' && available);
  if (gpu) return `cuda:${gpu.ordinal}`;
  // Its absence is told with the reason when it is opened.
  return precision === 'exact' ? 'cpu' : 'cuda:0';
}

/** The engine for `networkDevice`'s choice. */
export function networkEngine(
  device: string,
  threads: number | undefined,
  precision: Precision = 'exact',
): EngineOptions {
  return { ...engineOptions(device, threads), precision };
}
