import { basename } from 'node:path';
import { WisemergeError } from '../../errors.js';
import { percent, points, pointsInterval } from '../../selection/figures.js';
import type { SetMetrics } from '../../sweep/result.js';
import { type SoupResult, soup } from '../../sweep/soup.js';
import { readSoupFile, type SoupConfig } from '../../sweep/soup-options.js';
import { formatTable, printable } from '../format.js';
import { ProgressLine } from '../progress-line.js';
import { note, printResult } from '../terminal.js';
import type { SoupFlags } from './soup-flags.js';

export async function runSoup(
  file: string | undefined,
  flags: SoupFlags,
  signal: AbortSignal,
): Promise<void> {
  const { json: _json, quiet: _quiet, out, resume, force, set, ...given } = flags;
  const base = file === undefined ? {} : await readSoupFile(file);
  const config = { ...base, ...given, ...(set && { sets: [...set] }) };
  const missing = (['models', 'sets'] as const).filter((name) => !(name in config));
  if (missing.length > 0) {
    const names = missing.map((name) => (name === 'sets' ? '--set' : '--models'));
    throw new WisemergeError('ERR_USAGE', `a soup needs ${names.join(' and ')}`, {
      hint: 'Give them as flags, or a file that has them.',
    });
  }
  const progress = new ProgressLine(flags);
  const result = await soup({
    ...(config as SoupConfig),
    out,
    ...(resume && { resume }),
    ...(force && { force }),
    signal,
    onProgress: ({ done, members, score }) =>
      progress.show(
        `${done} evaluated; models ${members.join(', ')}${score === undefined ? '' : `: ${percent(score)}`}`,
      ),
  }).finally(() => progress.end());
  printResult(flags, result, () => describe(result));
  note(flags, `${result.seconds.toFixed(1)} s; the soup is in ${out}/${result.model}`);
}

/** Accuracy, or perplexity where a set has one. */
const scoreOf = ({ top1, perplexity }: SetMetrics): string => perplexity?.toFixed(3) ?? percent(top1);

function describe(result: SoupResult): string {
  const { models, scores, order, members, steps, sets, comparison, rule } = result;
  const tried = new Map(steps.map((step) => [step.added, step]));
  const rows = order.map((i, place) => {
    const step = tried.get(i);
    const verdict = place === 0 ? 'first' : step!.accepted ? 'added' : 'left out';
    return [
      `${i} ${printable(basename(models[i]!))}`,
      percent(scores[i]!),
      step ? percent(step.score) : '',
      verdict,
    ];
  });
  const scored = sets.map(({ name, role, kind, best, soup: own, uniform }) => [
    `${name} (${kind}, ${role})`,
    scoreOf(best),
    scoreOf(own),
    scoreOf(uniform),
  ]);
  const lines = [
    formatTable(['model', 'alone', 'soup with it', ''], rows, { left: [3] }),
    '',
    formatTable(['set', 'best model', 'soup', 'all models'], scored),
    '',
    `soup of ${members.length} of ${models.length} models (rule ${rule})`,
  ];
  if (comparison) {
    const { difference, interval, withinNoise, sets: names } = comparison;
    const range = interval ? `, 95 % ${pointsInterval(interval)}` : '';
    const noise = withinNoise ? '; that is within the noise' : '';
    lines.push(
      `On ${names.join(', ')} the soup is ${points(difference)} from the best model${range}${noise}.`,
    );
  } else {
    lines.push(
      'There is no report set: on select sets a soup is never worse than the best model, by construction.',
    );
  }
  return lines.join('\n');
}
