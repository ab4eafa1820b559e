import { WisemergeError } from '../errors.js';
import type { SetKind } from '../eval/data/evaluation-set.js';
import {
  type AccuracyPair,
  type EffectiveRobustness,
  effectiveRobustness,
  fitReferenceLine,
  type NoReferenceLine,
  type ReferenceLine,
} from '../selection/effective-robustness.js';
import { readRecords, scoreOf } from './records.js';

/** A model that was trained on the reference distribution alone. */
export interface ReferenceModel {
  readonly name: string;
  /** Top-1 by set, 0 to 1; sets may be missing. */
  readonly scores: Readonly<Record<string, number>>;
}

/** How the models of a sweep compare with reference models on one shift. */
export interface ShiftRobustness {
  /** The shift; null for the mean of all of them. */
  readonly set: string | null;
  /** The ID sets whose mean is ID accuracy here, of the reference models and of the sweep's. */
  readonly idSets: readonly string[];
  /** The other ID sets: not all of these reference models have a score for them. */
  readonly leftOut: readonly string[];
  /** ID and shift accuracy of the reference models that have both. */
  readonly models: readonly Required<AccuracyPair>[];
  readonly line: ReferenceLine | NoReferenceLine;
  /** Against the line; null where there is none. */
  readonly zeroshot: EffectiveRobustness | null;
  readonly finetuned: EffectiveRobustness | null;
  readonly chosen: EffectiveRobustness | null;
}

interface NamedSet {
  readonly name: string;
  readonly kind: SetKind;
}

/**
 * The reference models of a sweep: as given, or from a table (`readRecords`) with a column `name` and one per set.
 * Throws ERR_SWEEP_FILE where a set is unknown or there is no ID set or shift to compare on, ERR_DATA, ERR_IO.
 */
export async function readReferences(
  references: string | readonly ReferenceModel[],
  sets: readonly NamedSet[],
): Promise<ReferenceModel[]> {
  if (!sets.some(({ kind }) => kind === 'id') || !sets.some(({ kind }) => kind === 'shift')) {
    throw new WisemergeError('ERR_SWEEP_FILE', 'reference models need an ID set and a shift to compare on', {
      hint: 'Add one, or leave out references.',
    });
  }
  if (typeof references !== 'string') {
    for (const { name, scores } of references) {
      const unknown = Object.keys(scores).find((set) => !sets.some((one) => one.name === set));
      if (unknown === undefined) continue;
      throw new WisemergeError(
        'ERR_SWEEP_FILE',
        `reference model ${name} has a score on ${unknown}, which is not a set of the sweep`,
        {
          hint: `The sets are ${sets.map((one) => one.name).join(', ')}.`,
        },
      );
    }
    return [...references];
  }
  const models = (await readRecords(references)).flatMap((record, i) => {
    const scores = sets.flatMap(({ name }) => {
      const score = scoreOf(record, name);
      return score === undefined ? [] : [[name, score] as const];
    });
    const { name, model, exp_name: experiment } = record.values;
    const found = [name, model, experiment].find((one) => typeof one === 'string' && one !== '');
    return scores.length > 0
      ? [{ name: String(found ?? `model ${i + 1}`), scores: Object.fromEntries(scores) }]
      : [];
  });
  if (models.length > 0) return models;
  throw new WisemergeError('ERR_DATA', `${references} has no accuracy on any set of the sweep`, {
    file: references,
    hint: `Name columns or keys after the sets: ${sets.map(({ name }) => name).join(', ')}.`,
  });
}

/**
 * Which ID sets models are compared on: the one that most have a score for, and those that all of these models have
 * too. So a further ID set of the sweep leaves no model out. Every one where no model has any.
 */
function comparableIds(models: readonly ReferenceModel[], ids: readonly string[]): readonly string[] {
  const scored = ids.map((name) => models.filter(({ scores }) => scores[name] !== undefined));
  const most = scored.reduce((a, b) => (b.length > a.length ? b : a));
  if (most.length === 0) return ids;
  return ids.filter((name) => most.every(({ scores }) => scores[name] !== undefined));
}

/**
 * Effective robustness on every shift, and on their mean where there are several. `accuracy[s]` has the zero-shot,
 * the fine-tuned and the chosen model on set s.
 */
export function robustnessOf(
  models: readonly ReferenceModel[],
  sets: readonly NamedSet[],
  accuracy: readonly (readonly [number, number, number])[],
): ShiftRobustness[] {
  const indices = (kind: SetKind) => sets.flatMap((set, s) => (set.kind === kind ? [s] : []));
  const shifts = indices('shift');
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const against = (over: readonly number[]): Omit<ShiftRobustness, 'set'> => {
    const scoresOf = ({ scores }: ReferenceModel, some: readonly number[]) =>
      some.flatMap((s) => scores[sets[s]!.name] ?? []);
    const shifted = models.filter((model) => scoresOf(model, over).length === over.length);
    const names = indices('id').map((s) => sets[s]!.name);
    const idSets = comparableIds(shifted, names);
    const ids = indices('id').filter((s) => idSets.includes(sets[s]!.name));
    const pairs = shifted.flatMap((model) => {
      const id = scoresOf(model, ids);
      if (id.length < ids.length) return [];
      return [{ name: model.name, id: mean(id), shift: mean(scoresOf(model, over)) }];
    });
    const line = fitReferenceLine(pairs);
    const at = (model: 0 | 1 | 2) =>
      line.fitted
        ? effectiveRobustness(line, {
            id: mean(ids.map((s) => accuracy[s]![model])),
            shift: mean(over.map((s) => accuracy[s]![model])),
          })
        : null;
    return {
      idSets,
      leftOut: names.filter((name) => !idSets.includes(name)),
      models: pairs,
      line,
      zeroshot: at(0),
      finetuned: at(1),
      chosen: at(2),
    };
  };
  return [
    ...shifts.map((s) => ({ set: sets[s]!.name, ...against([s]) })),
    ...(shifts.length > 1 ? [{ set: null, ...against(shifts) }] : []),
  ];
}

/** The same from a sweep: zero-shot and fine-tuned are alpha 0 and 1, the chosen alpha has index `chosen`. */
export function robustnessOfSweep(
  models: readonly ReferenceModel[],
  sets: readonly (NamedSet & { readonly metrics: readonly { readonly top1: number }[] })[],
  alphas: readonly number[],
  chosen: number,
): ShiftRobustness[] {
  const compared = [alphas.indexOf(0), alphas.indexOf(1), chosen] as const;
  const accuracy = sets.map(
    ({ metrics }) => compared.map((k) => metrics[k]!.top1) as [number, number, number],
  );
  return robustnessOf(models, sets, accuracy);
}
