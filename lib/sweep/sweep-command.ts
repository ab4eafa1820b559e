import { quote } from '../merge/command.js';
import type { ResolvedSweep } from './sweep-options.js';

/**
 * The command line that makes a sweep again; of one by a function, that without the evaluation. A comment names
 * what only a sweep file can say.
 */
export function sweepCommand(config: ResolvedSweep): string {
  const { zeroshot, finetuned, head, command, keep, alphas, rule, repeats, replicates, seed } = config;
  const more = [
    ...(config.divergence === false ? [' --no-divergence'] : []),
    ...(config.metrics === false ? [' --no-metrics'] : []),
    ...((config.precision ?? 'exact') === 'exact'
      ? []
      : [` --device ${config.device} --precision ${config.precision}`]),
  ].join('');
  const sets = config.sets.map(({ name, role, kind, features, images, labels, groups }) => {
    const files = [images ?? features ?? '', labels ?? '', groups ?? ''].join(',').replace(/,+$/, '');
    return `--set ${quote(`${name}:${role}:${kind}${files && `=${files}`}`)}`;
  });
  const search = [
    ...(config.search === 'grid' ? [] : [`--search ${config.search} --tolerance ${config.tolerance}`]),
    ...(config.layerGroups === undefined ? [] : [`--layer-groups ${config.layerGroups}`]),
    ...(config.minGain > 0 ? [`--min-gain ${config.minGain}`] : []),
    ...(config.budget === undefined ? [] : [`--budget ${config.budget}`]),
  ];
  const lines = [
    `wisemerge sweep --zeroshot ${quote(zeroshot)} --finetuned ${quote(finetuned)}`,
    ...(head === undefined ? [] : [`--head ${quote(head)}`]),
    ...(config.heads ? [`--heads ${quote(`${config.heads.zeroshot},${config.heads.finetuned}`)}`] : []),
    ...(config.activation ? [`--activation ${config.activation}`] : []),
    ...(command ? [`--command ${quote(command.join(' '))}${keep ? ' --keep' : ''}`] : []),
    ...sets,
    ...(typeof config.references === 'string' ? [`--references ${quote(config.references)}`] : []),
    `--alphas ${alphas.join(',')} --rule ${quote(rule)}${config.folds === undefined ? '' : ` --folds ${config.folds}`} --repeats ${repeats}`,
    ...(search.length > 0 ? [search.join(' ')] : []),
    `--replicates ${replicates} --seed ${seed}${more} --out results`,
  ];
  const unsaid = [
    ...(config.classNames ? ['classNames'] : []),
    ...(config.templates ? ['templates'] : []),
    ...(command?.some((part) => /\s/.test(part)) ? ['command'] : []),
    ...(config.sets.some(({ text }) => text !== undefined) ? ['what sets say about text'] : []),
    ...(Array.isArray(config.references) ? ['references'] : []),
  ];
  const rest =
    unsaid.length > 0 ? `# not among flags, so in a sweep file: ${unsaid.join(', ')} of sweep.json\n` : '';
  return rest + lines.join(' \\\n  ');
}
