import { join, resolve } from 'node:path';
import { beginCall } from '../call-options.js';
import { checkPlace } from '../checkpoint/output-place.js';
import type { SetKind, SetRole } from '../eval/data/evaluation-set.js';
import type { EvaluatedSet } from '../eval/evaluator.js';
import { removeFile } from '../files/remove.js';
import { mergeFile } from '../merge/many/merge-file.js';
import { checkOutputPath } from '../merge/plan.js';
import { ownCopy } from '../own-copy.js';
import { evidenceOf, objectiveOf, type SetEvidence } from '../selection/criteria.js';
import { type GreedySoup, greedySoup } from '../selection/greedy.js';
import { compareOnReport } from '../selection/layer-comparison.js';
import { formatRule } from '../selection/rule.js';
import { version } from '../version.js';
import { curveOf, type Evaluated, record } from './evaluated.js';
import type { Journal } from './journal.js';
import { replaceFile, requireFinite, type SetMetrics } from './result.js';
import { type DirectoryOptions, openResultsDirectory, type Results } from './results-directory.js';
import { checkRunOptions } from './run-options.js';
import { type EvaluateSoup, SoupEvaluator } from './soup-evaluator.js';
import type { ResolvedSoup, SoupConfig } from './soup-options.js';

export interface SoupProgress {
  /** Models and soups evaluated so far. */
  readonly done: number;
  /** Of the one just evaluated, by number. */
  readonly members: readonly number[];
  readonly role: SetRole;
  /** What the rule maximises; of select sets. */
  readonly score?: number;
}

export interface SoupOptions extends SoupConfig {
  /** Directory of the results, and of the soup in `model`: created, or with `resume` gone on with. */
  readonly out: string;
  /** Evaluates a soup, in place of the sets' own files or of a command. A change of it is not noticed by `resume`. */
  readonly evaluate?: EvaluateSoup;
  /** Go on where an earlier run of the same configuration stopped. */
  readonly resume?: boolean;
  /** Replace an earlier soup. */
  readonly force?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: SoupProgress) => void;
}

/** Accuracies (or scores) on one set. `uniform` is the mean of all models. */
export interface SoupSet {
  readonly name: string;
  readonly role: SetRole;
  readonly kind: SetKind;
  readonly samples: number;
  readonly fingerprint: string;
  readonly best: SetMetrics;
  readonly soup: SetMetrics;
  readonly uniform: SetMetrics;
}

/** Soup against best model on the sets that had no part in the choice. */
export interface SoupComparison {
  readonly sets: readonly string[];
  readonly best: number;
  readonly soup: number;
  readonly difference: number;
  /** 95 %, paired by sample, or by group where samples are in groups; null for scores alone and one group. */
  readonly interval: { readonly lower: number; readonly upper: number } | null;
  /** The interval holds 0. */
  readonly withinNoise: boolean | null;
}

/** `soup.json`. The same inputs and options give the same bytes, but for `seconds`. */
export interface SoupResult extends GreedySoup {
  readonly format: 'wisemerge-soup';
  readonly version: 1;
  readonly wisemerge: string;
  readonly rule: string;
  /** Paths; others are numbers of these. */
  readonly models: readonly string[];
  /** What the rule maximises on the select sets, of each model alone. */
  readonly scores: readonly number[];
  readonly sets: readonly SoupSet[];
  /** Null without report sets. */
  readonly comparison: SoupComparison | null;
  /** Where the soup was written, relative to the results. */
  readonly model: string;
  readonly seconds: number;
}

export const soupName = 'soup.json';
const [configName, headConfigName, modelName, headName] = ['soup.yml', 'head-soup.yml', 'model', 'head'];
/** `model` and `head` stay where they are until those of this soup take their place. */
const soupResults: Results = { kind: 'soup', names: [soupName, configName, headConfigName] };

interface Entry extends Evaluated {
  readonly members: readonly number[];
  readonly role: SetRole;
}

/**
 * Makes a greedy soup (Wortsman et al., 2022, recipe 1) of models of one architecture: decided by the rule on the select sets
 * alone; the report sets are scored at the end. Means of models are evaluated in memory where wisemerge runs the network. The
 * soup is written to `out/model`, by the merge file `out/soup.yml`.
 *
 * What is evaluated is journalled, and `resume` goes on with it. Rejects with ERR_SWEEP_FILE, ERR_USAGE, ERR_REPORT_SET,
 * ERR_INCOMPATIBLE, ERR_DATA, ERR_DATA_MISMATCH, ERR_CONFIG, ERR_OUTPUT_EXISTS, ERR_OUTPUT_IS_INPUT, ERR_OUTPUT_BUSY, ERR_SWEEP_CHANGED (before any work),
 * ERR_EVALUATION, ERR_IO, with what `evaluate` throws, or with the abort reason.
 */
export async function soup(options: SoupOptions): Promise<SoupResult> {
  using _call = beginCall(options);
  const {
    out: given,
    evaluate,
    resume = false,
    force = false,
    signal,
    onProgress,
    ...config
  } = ownCopy(options);
  checkRunOptions(options);
  const { resolveSoup } = await import('./soup-options.js');
  const resolved = await resolveSoup(config, { evaluated: evaluate !== undefined });
  const out = resolve(given);
  const inputs = [...resolved.models, ...(resolved.heads ?? [])].map((path) => ({ path }));
  for (const name of [modelName, headName]) checkOutputPath(join(out, name), inputs);
  const run = new SoupRun(resolved, out, signal, onProgress);
  const evaluator = await SoupEvaluator.open({
    ...{ soup: resolved, evaluate, out, signal },
    write: (members, directory) => run.write(members, directory),
  });
  try {
    run.checkSets(evaluator.sets);
    return await run.run(evaluator, { resume, force });
  } finally {
    await evaluator.close();
  }
}

class SoupRun {
  readonly #soup: ResolvedSoup;
  readonly #out: string;
  readonly #signal: AbortSignal | undefined;
  readonly #onProgress: SoupOptions['onProgress'];

  constructor(
    resolved: ResolvedSoup,
    out: string,
    signal: AbortSignal | undefined,
    onProgress: SoupOptions['onProgress'],
  ) {
    this.#soup = resolved;
    this.#out = out;
    this.#signal = signal;
    this.#onProgress = onProgress;
  }

  /** Throws what the rule would for want of a set, before anything is evaluated. */
  checkSets(sets: readonly EvaluatedSet[]): void {
    const evidence = sets.map(
      ({ name, role, kind }): SetEvidence => ({ name, role, kind, samples: 2, accuracy: Float64Array.of(0) }),
    );
    objectiveOf(this.#soup.rule, evidence);
  }

  async run(evaluator: SoupEvaluator, options: DirectoryOptions): Promise<SoupResult> {
    const { models, rule } = this.#soup;
    // Now, and not once everything is evaluated.
    for (const name of [modelName, headName])
      await checkPlace(join(this.#out, name), { kind: 'merge', force: true });
    const journal = await this.#openJournal(evaluator, options);
    try {
      const known = new Map(journal.entries.map((entry) => [key(entry), entry]));
      const evaluate = async (members: readonly number[], role: SetRole): Promise<Entry> => {
        const earlier = known.get(key({ members, role }));
        const entry = earlier ?? (await this.#evaluate(evaluator, members, role));
        if (!earlier) await journal.add(entry);
        known.set(key(entry), entry);
        const score = role === 'select' ? { score: this.#score(evaluator, entry) } : {};
        this.#onProgress?.({ done: known.size, members, role, ...score });
        return entry;
      };
      const scored = async (members: readonly number[]) =>
        this.#score(evaluator, await evaluate(members, 'select'));
      const scores: number[] = [];
      for (const i of models.keys()) scores.push(await scored([i]));
      const greedy = await greedySoup(scores, scored);
      const shown = { best: [greedy.order[0]!], soup: greedy.members, uniform: [...models.keys()] };
      const entries = {} as Record<keyof typeof shown, Record<SetRole, Entry | undefined>>;
      for (const name of ['best', 'soup', 'uniform'] as const) {
        const report = evaluator.setsOf('report').length > 0;
        entries[name] = {
          select: await evaluate(shown[name], 'select'),
          report: report ? await evaluate(shown[name], 'report') : undefined,
        };
      }
      await this.#writeResults(greedy.members);
      const result: SoupResult = {
        format: 'wisemerge-soup',
        version: 1,
        wisemerge: version,
        rule: formatRule(rule),
        models,
        scores,
        ...greedy,
        sets: describeSets(evaluator, entries),
        comparison: compareOn(evaluator.setsOf('report'), entries.best.report, entries.soup.report),
        model: modelName,
        seconds: [...known.values()].reduce((sum, { seconds }) => sum + seconds, 0),
      };
      requireFinite(result);
      await replaceFile(join(this.#out, soupName), `${JSON.stringify(result, null, 2)}\n`);
      return result;
    } finally {
      await journal.close();
    }
  }

  async #openJournal(evaluator: SoupEvaluator, options: DirectoryOptions): Promise<Journal<Entry>> {
    const { threads: _threads, ...evaluation } = this.#soup.evaluation;
    const identity = {
      ...{ ...this.#soup, evaluation },
      evaluator: evaluator.identity,
      fingerprints: evaluator.sets.map(({ fingerprint }) => fingerprint),
    };
    return await openResultsDirectory<Entry>(this.#out, soupResults, identity, options);
  }

  async #evaluate(evaluator: SoupEvaluator, members: readonly number[], role: SetRole): Promise<Entry> {
    this.#signal?.throwIfAborted();
    const began = performance.now();
    const results = await evaluator.evaluate(members, role);
    const seconds = (performance.now() - began) / 1000;
    const what = members.length === 1 ? `model ${members[0]}` : `soup of models ${members.join(', ')}`;
    const entry = record({ alpha: 0 }, seconds, evaluator.setsOf(role), results, what);
    return { ...entry, members, role };
  }

  /** What the rule maximises. */
  #score(evaluator: SoupEvaluator, entry: Entry): number {
    const evidence = evaluator.setsOf('select').map((set, s) => evidenceOf(curveOf(set, s, [entry])));
    return objectiveOf(this.#soup.rule, evidence).value[0]!;
  }

  /** The mean of some models as a directory. */
  async write(members: readonly number[], directory: string): Promise<void> {
    const config = join(this.#out, `soup_${members.join('_')}.yml`);
    await replaceFile(config, this.#mergeFile(this.#soup.models, members));
    try {
      await this.#merge(config, directory);
    } finally {
      await removeFile(config);
    }
  }

  async #writeResults(members: readonly number[]): Promise<void> {
    const config = join(this.#out, configName);
    await replaceFile(config, this.#mergeFile(this.#soup.models, members));
    await this.#merge(config, join(this.#out, modelName));
    if (!this.#soup.heads) return;
    const head = join(this.#out, headConfigName);
    await replaceFile(head, this.#mergeFile(this.#soup.heads, members));
    await this.#merge(head, join(this.#out, headName));
  }

  async #merge(config: string, out: string): Promise<void> {
    const { threads } = this.#soup.evaluation;
    const given = {
      ...(threads !== undefined && { threads }),
      ...(this.#signal && { signal: this.#signal }),
    };
    await mergeFile({ config, out, force: true, ...given });
  }

  #mergeFile(models: readonly string[], members: readonly number[]): string {
    const { dtype } = this.#soup;
    const lines = members.map((i) => `  - model: ${JSON.stringify(resolve(models[i]!))}`);
    // Of a uniform soup the base gives configuration and tokenizer alone.
    const base = `base_model: ${JSON.stringify(resolve(models[0]!))}`;
    return [
      'merge_method: uniform_soup',
      base,
      'models:',
      ...lines,
      ...(dtype ? [`dtype: ${dtype}`] : []),
      '',
    ].join('\n');
  }
}

const key = ({ members, role }: Pick<Entry, 'members' | 'role'>): string => `${role} ${members.join(' ')}`;

function describeSets(
  evaluator: SoupEvaluator,
  entries: Record<'best' | 'soup' | 'uniform', Record<SetRole, Entry | undefined>>,
): SoupSet[] {
  return evaluator.sets.map((set) => {
    const { name, role, kind, fingerprint } = set;
    const s = evaluator.setsOf(role).indexOf(set);
    const of = (which: keyof typeof entries): SetMetrics => {
      // Of a soup there are no two ends to disagree with.
      const { disagreement: _disagreement, ...metrics } = entries[which][role]!.sets[s]!.metrics;
      return metrics;
    };
    const { samples } = entries.soup[role]!.sets[s]!;
    const scores = { best: of('best'), soup: of('soup'), uniform: of('uniform') };
    return { name, role, kind, samples, fingerprint, ...scores };
  });
}

function compareOn(
  sets: readonly EvaluatedSet[],
  best: Entry | undefined,
  found: Entry | undefined,
): SoupComparison | null {
  if (!best || !found) return null;
  const compared = compareOnReport(
    sets.map((set, s) => curveOf(set, s, [best, found])),
    0,
    best === found ? 0 : 1,
  );
  if (!compared) return null;
  const { sets: names, single, layered, difference, interval, withinNoise } = compared;
  return { sets: names, best: single, soup: layered, difference, interval, withinNoise };
}
