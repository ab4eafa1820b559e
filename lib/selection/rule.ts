import { WisemergeError } from '../errors.js';

/** A weight of a named set. */
export interface SetWeight {
  readonly set: string;
  readonly weight: number;
}

/** Rules with an accuracy to be maximised. */
export type MaxRule =
  /** Highest mean accuracy of the ID sets. */
  | { readonly kind: 'max-id' }
  /** Highest mean over the select sets: of equal weights, or of the named sets only. */
  | { readonly kind: 'max-mean'; readonly weights?: readonly SetWeight[] }
  /** Highest accuracy of the worst select set. */
  | { readonly kind: 'max-worst' }
  /** Highest mean accuracy of the shifts; with `idWithin`, where ID accuracy is at most that below its best. */
  | { readonly kind: 'max-shift'; readonly idWithin?: number };

/** How alpha is chosen (names and results: `select`). */
export type Rule =
  | MaxRule
  /** The knee of the Pareto frontier of ID and mean shift accuracy. */
  | { readonly kind: 'knee' }
  /** A value given beforehand; 0.5 is the recommendation of Wortsman et al., 2022. */
  | { readonly kind: 'fixed'; readonly alpha: number }
  /** The alpha nearest the zero-shot model within one paired standard error of the best of another rule. */
  | { readonly kind: 'one-se'; readonly of: MaxRule };

/**
 * Parses a rule as it is written on the command line: `max-id`, `max-mean`, `max-mean:id=1,sketch=2`,
 * `max-worst`, `max-shift`, `max-shift:id-within=0.01`, `knee`, `fixed:0.5`, `one-se` (of `max-mean`),
 * `one-se:max-id`. Throws ERR_USAGE.
 */
export function parseRule(text: string): Rule {
  const colon = text.indexOf(':');
  const name = (colon < 0 ? text : text.slice(0, colon)).trim();
  const argument = colon < 0 ? undefined : text.slice(colon + 1).trim();
  const max = parseMaxRule(name, argument, text);
  if (max) return max;
  switch (name) {
    case 'knee':
      if (argument !== undefined) throw badRule(text, 'knee takes nothing after it');
      return { kind: 'knee' };
    case 'fixed':
      return { kind: 'fixed', alpha: number(argument, text, 'alpha') };
    case 'one-se': {
      if (argument === undefined) return { kind: 'one-se', of: { kind: 'max-mean' } };
      const of = parseRule(argument);
      if (of.kind === 'knee' || of.kind === 'fixed' || of.kind === 'one-se')
        throw badRule(text, `${of.kind} has no accuracy whose standard error could be taken`);
      return { kind: 'one-se', of };
    }
    default:
      throw badRule(text, `there is no rule "${name}"`);
  }
}

function parseMaxRule(name: string, argument: string | undefined, text: string): MaxRule | undefined {
  switch (name) {
    case 'max-id':
    case 'max-worst':
      if (argument !== undefined) throw badRule(text, `${name} takes nothing after it`);
      return { kind: name };
    case 'max-mean':
      return argument === undefined ? { kind: name } : { kind: name, weights: parseWeights(argument, text) };
    case 'max-shift': {
      if (argument === undefined) return { kind: name };
      const [, value] = /^id-within=(.*)$/s.exec(argument) ?? [];
      if (value === undefined) throw badRule(text, 'max-shift takes id-within=<fraction> only');
      const idWithin = number(value, text, 'id-within');
      if (!(idWithin >= 0 && idWithin <= 1))
        throw badRule(text, `id-within is a difference of accuracies, from 0 to 1`);
      return { kind: name, idWithin };
    }
    default:
      return undefined;
  }
}

function parseWeights(argument: string, text: string): SetWeight[] {
  const weights = argument.split(',').map((part) => {
    const equals = part.lastIndexOf('=');
    const set = part.slice(0, equals).trim();
    if (equals < 0 || set === '') throw badRule(text, `"${part}" is not set=weight`);
    const weight = number(part.slice(equals + 1), text, `the weight of ${set}`);
    if (weight < 0) throw badRule(text, `the weight of ${set} is negative`);
    return { set, weight };
  });
  if (new Set(weights.map(({ set }) => set)).size < weights.length)
    throw badRule(text, 'a set is named twice');
  if (weights.every(({ weight }) => weight === 0)) throw badRule(text, 'every weight is 0');
  return weights;
}

function number(field: string | undefined, text: string, what: string): number {
  const trimmed = field?.trim() ?? '';
  const value = Number(trimmed);
  if (trimmed === '' || !Number.isFinite(value)) throw badRule(text, `${what} must be a number`);
  return value;
}

function badRule(text: string, why: string): WisemergeError {
  return new WisemergeError('ERR_USAGE', `rule "${text}": ${why}`, {
    hint: 'Rules are max-id, max-mean, max-mean:id=1,sketch=2, max-worst, max-shift, max-shift:id-within=0.01, knee, fixed:0.5, one-se and one-se:max-id.',
  });
}

/** A rule as `parseRule` reads it. */
export function formatRule(rule: Rule): string {
  switch (rule.kind) {
    case 'max-mean':
      return rule.weights
        ? `max-mean:${rule.weights.map(({ set, weight }) => `${set}=${weight}`).join(',')}`
        : 'max-mean';
    case 'max-shift':
      return rule.idWithin === undefined ? 'max-shift' : `max-shift:id-within=${rule.idWithin}`;
    case 'fixed':
      return `fixed:${rule.alpha}`;
    case 'one-se':
      return `one-se:${formatRule(rule.of)}`;
    default:
      return rule.kind;
  }
}
