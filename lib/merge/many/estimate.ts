import { measureReadSpeed } from '../../checkpoint/disk-speed.js';
import { mostlyCached } from '../../checkpoint/input-file.js';
import type { WeightFile } from '../../checkpoint/weight-file.js';
import type { DocumentPlan } from './plan-file.js';

/** How long a merge will take, and what that rests on. Speeds in bytes per second. */
export interface TimeEstimate {
  readonly seconds: number;
  readonly readSpeed: number;
  readonly writeSpeed: number;
  /** File that was read for it, and whether through the page cache. */
  readonly sample: string;
  readonly cached: boolean;
}

/**
 * Reads some of the largest input, as the merge would. Writing is taken to be as fast as reading past the page cache,
 * computing to be hidden behind both. Undefined where there is nothing to read. Throws ERR_IO, or the abort
 * reason.
 */
export async function estimateTime(
  plans: readonly DocumentPlan[],
  files: readonly WeightFile[],
  signal?: AbortSignal,
): Promise<TimeEstimate | undefined> {
  const largest = files.reduce<WeightFile | undefined>(
    (most, file) => (most && most.size >= file.size ? most : file),
    undefined,
  );
  if (!largest) return undefined;
  const cached = await mostlyCached(files);
  const writeSpeed = await measureReadSpeed(largest, 'direct', { signal });
  const readSpeed = cached ? await measureReadSpeed(largest, 'cached', { signal }) : writeSpeed;
  const read = plans.reduce((sum, plan) => sum + plan.bytesRead + plan.rereading.bytes, 0);
  const written = plans.reduce((sum, plan) => sum + plan.bytesWritten, 0);
  const seconds = read / readSpeed + written / writeSpeed;
  return { seconds, readSpeed, writeSpeed, sample: largest.path, cached };
}
