import { type VerifyResult, verify } from '../../checkpoint/verify.js';
import { formatPlural, printable, style } from '../format.js';
import { ProgressBar } from '../progress-bar.js';
import { type OutputFlags, printResult } from '../terminal.js';

/** Exit code 3 for damage. */
export async function runVerify(path: string, flags: OutputFlags, signal: AbortSignal): Promise<void> {
  const progress = new ProgressBar(flags);
  let results: VerifyResult[];
  try {
    results = await verify(path, { signal, onProgress: progress.listener });
  } finally {
    progress.end();
  }
  printResult(flags, results, () => results.map(describe).join('\n'));
  if (results.some(({ problems }) => problems.length > 0)) process.exitCode = 3;
}

function describe({ directory, files, problems }: VerifyResult): string {
  if (problems.length === 0)
    return `${style('green', 'ok')}  ${printable(directory)}  ${formatPlural(files.length, 'file')}`;
  return [
    `${style('red', 'damaged')}  ${printable(directory)}`,
    ...problems.map((problem) => `  ${printable(problem)}`),
  ].join('\n');
}
