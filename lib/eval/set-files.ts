import { xxh3 } from '@node-rs/xxhash';
import { WisemergeError } from '../errors.js';
import { hexDigest } from '../hex-digest.js';
import type { SetKind, SetRole } from './data/evaluation-set.js';
import { readGroups } from './data/groups.js';
import { readLabels } from './data/labels.js';
import type { EvaluatedSet } from './evaluator.js';

/** A set that an evaluator knows itself; labels and groups only say how to split and draw its samples. */
export interface NamedSet {
  readonly name: string;
  readonly role: SetRole;
  readonly kind: SetKind;
  readonly labels?: string | undefined;
  readonly groups?: string | undefined;
}

/** Reads what there is of labels and groups. Rejects with ERR_DATA, ERR_DATA_MISMATCH, ERR_IO. */
export async function openNamedSet(
  { name, role, kind, labels, groups }: NamedSet,
  classNames?: readonly string[],
): Promise<EvaluatedSet> {
  const labelled = labels === undefined ? undefined : await readLabels(labels, classNames && { classNames });
  const grouped = groups === undefined ? undefined : await readGroups(groups);
  const samples = labelled?.length ?? grouped?.ids.length ?? 0;
  if (grouped && grouped.ids.length !== samples) {
    throw new WisemergeError(
      'ERR_DATA_MISMATCH',
      `set ${name} has ${samples} labels and ${grouped.ids.length} groups`,
      { hint: 'Give one of each per sample.' },
    );
  }
  const hash = xxh3.Xxh3.withSeed();
  hash.update(JSON.stringify([labelled?.length ?? null, grouped?.names ?? null]));
  for (const values of [labelled, grouped?.ids]) {
    if (values) hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  return {
    ...{ name, role, kind, samples },
    fingerprint: hexDigest(hash),
    ...(labelled && { labels: labelled }),
    ...(grouped && { groups: grouped }),
  };
}
