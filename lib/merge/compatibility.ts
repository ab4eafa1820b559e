import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { readParent } from '../checkpoint/model-card.js';
import { dtypeInfo, formatShape, sameShape, type TensorInfo } from '../checkpoint/tensor.js';
import type { DTypeName } from '../native.js';
import { configDifferences, describeDifference } from './config-differences.js';
import { bufferWarning, isBatchCounter, isDerivedBuffer } from './derived-buffers.js';
import { equivalentNames } from './equivalent-names.js';
import type { Problem } from './problems.js';
import { quantisation } from './quantised.js';
import { statedTie, tiedSource } from './tied.js';
import { isOutputHead } from './vocabulary-tensors.js';

/** What happens to one tensor of the base model. */
export interface TensorPair {
  readonly x: TensorInfo;
  /** The fine-tuned side: the tensor of the same name, or the one it is tied to; `x` again where it is kept. */
  readonly y: TensorInfo;
  /**
   * `lerp`: interpolated. `copy`: integer or boolean, which must be equal in both (checked when data is
   * read). `keep`: a derived buffer that the fine-tuned model lacks, or a counter of batches.
   */
  readonly action: 'lerp' | 'copy' | 'keep';
  readonly outDtype: DTypeName;
}

/** A tensor that is to be a copy of another one of its model. */
export interface TensorAlias {
  readonly alias: TensorInfo;
  readonly of: TensorInfo;
}

/** The outcome of comparing two models by their headers. */
export interface Compatibility {
  /** In the base's order. */
  readonly pairs: readonly TensorPair[];
  /** Of the fine-tuned model: left out as equal, which nothing but their data tells. */
  readonly aliases: readonly TensorAlias[];
  /** Any of these makes the merge impossible. */
  readonly problems: readonly Problem[];
  /** Worth saying, not in the way. */
  readonly warnings: readonly string[];
}

/**
 * Pairs the tensors of two models and finds everything that would make their interpolation wrong or
 * impossible, from headers and configurations alone. `outDtype` converts every float tensor on the way out.
 */
export async function checkCompatibility(
  base: Checkpoint,
  finetuned: Checkpoint,
  outDtype?: DTypeName,
): Promise<Compatibility> {
  const problems: Problem[] = [];
  const warnings: string[] = [];
  await checkKinds(base, finetuned, problems, warnings);
  // That no tensor of an adapter is in a model goes without saying.
  if (base.isAdapter || finetuned.isAdapter) return { pairs: [], aliases: [], problems, warnings };

  const pairs: TensorPair[] = [];
  const used = new Set<string>();
  const leftOut: string[] = [];
  const aliases: TensorAlias[] = [];
  for (const x of base.tensors.values()) {
    const y = finetuned.tensors.get(x.name) ?? tiedSource(x, finetuned);
    if (isBatchCounter(x) && y?.dtype === x.dtype) {
      pairs.push({ x, y: x, action: 'keep', outDtype: x.dtype });
      continue;
    }
    if (!y) {
      if (isDerivedBuffer(x)) pairs.push({ x, y: x, action: 'keep', outDtype: x.dtype });
      else problems.push(missing(x, base, finetuned, 'fine-tuned'));
      continue;
    }
    if (y.name !== x.name)
      warnings.push(`"${x.name}" is tied to "${y.name}" in the fine-tuned model; interpolated with that`);
    used.add(y.name);
    const pair = pairTensors([x, base], [y, finetuned], outDtype, problems);
    if (pair) pairs.push(pair);
  }
  for (const y of finetuned.tensors.values()) {
    if (used.has(y.name) || base.tensors.has(y.name)) continue;
    if (isDerivedBuffer(y)) {
      leftOut.push(y.name);
      continue;
    }
    const tied = tiedSource(y, base);
    if (!tied) {
      problems.push(missing(y, finetuned, base, 'zero-shot'));
    } else if (isOutputHead(y.name) && statedTie(finetuned.config)?.tied === false) {
      problems.push(separateHead(y, tied));
    } else {
      const of = finetuned.tensors.get(tied.name);
      if (of && !statedTie(finetuned.config)) aliases.push({ alias: y, of });
      warnings.push(
        `"${y.name}" of the fine-tuned model is a copy of its tied "${tied.name}"; left out, as in the zero-shot model`,
      );
    }
  }
  const kept = pairs.flatMap(({ x, action }) => (action === 'keep' && !isBatchCounter(x) ? [x.name] : []));
  if (kept.length > 0) warnings.push(bufferWarning(kept, 'kept, though only in the zero-shot model'));
  if (leftOut.length > 0) warnings.push(bufferWarning(leftOut, 'left out, as only in the fine-tuned model'));
  warnAboutDtypes(pairs, outDtype, warnings);
  return { pairs, aliases, problems, warnings };
}

/** A head that only the fine-tuned model has, where the zero-shot model has its embedding for it. */
export function separateHead(head: TensorInfo, embedding: TensorInfo): Problem {
  return {
    code: 'ERR_TIED_WEIGHTS',
    tensor: head.name,
    file: head.file,
    message: `"${head.name}" is trained separately in the fine-tuned model but tied to "${embedding.name}" in the zero-shot model`,
    fix: 'Save the zero-shot model with its own output head (tie_word_embeddings: false), then merge.',
  };
}

function pairTensors(
  [x, base]: readonly [TensorInfo, Checkpoint],
  [y, finetuned]: readonly [TensorInfo, Checkpoint],
  outDtype: DTypeName | undefined,
  problems: Problem[],
): TensorPair | undefined {
  const report = (code: Problem['code'], message: string, fix: string, file = y.file): undefined => {
    problems.push({ code, tensor: x.name, file, message: `"${x.name}": ${message}`, fix });
  };
  if (!sameShape(x.shape, y.shape)) {
    return report(
      'ERR_SHAPE_MISMATCH',
      `shape ${formatShape(x.shape)} in the zero-shot model, ${formatShape(y.shape)} in the fine-tuned model`,
      shapeFix(x, y),
    );
  }
  for (const [side, model] of [[x, base] as const, [y, finetuned] as const]) {
    const why = quantisation(side, model);
    if (why)
      return report(
        'ERR_QUANTISED',
        why,
        'Merge the unquantised checkpoints, then quantise the result.',
        side.file,
      );
  }
  const kinds = [dtypeInfo(x.dtype).kind, dtypeInfo(y.dtype).kind];
  if (kinds.every((kind) => kind === 'float' || kind === 'complex') && kinds[0] === kinds[1]) {
    return { x, y, action: 'lerp', outDtype: kinds[0] === 'float' ? (outDtype ?? x.dtype) : x.dtype };
  }
  if (x.dtype === y.dtype && (kinds[0] === 'integer' || kinds[0] === 'boolean')) {
    return { x, y, action: 'copy', outDtype: x.dtype };
  }
  return report(
    'ERR_DTYPE_MISMATCH',
    `dtype ${x.dtype} in the zero-shot model, ${y.dtype} in the fine-tuned model`,
    'Only float dtypes can be mixed. Save both models with the same dtypes.',
  );
}

function shapeFix(x: TensorInfo, y: TensorInfo): string {
  const [rows, otherRows] = [x.shape[0], y.shape[0]];
  const sameTail = sameShape(x.shape, y.shape, 0);
  if (sameTail && rows !== otherRows && /embed|wte|lm_head|shared/.test(x.name)) {
    return `The vocabularies differ (${rows} and ${otherRows} rows): resize the embeddings of one model to match the other.`;
  }
  if (sameTail && rows !== otherRows && /classifier|head|fc|score/.test(x.name)) {
    return 'The heads have different numbers of classes: give both models the same head.';
  }
  return 'The models have different architectures: only models fine-tuned from one another can be interpolated.';
}

function missing(tensor: TensorInfo, holder: Checkpoint, other: Checkpoint, otherRole: string): Problem {
  const near = nearestName(tensor.name, other);
  return {
    code: 'ERR_MISSING_TENSOR',
    tensor: tensor.name,
    file: tensor.file,
    message: `"${tensor.name}" ${formatShape(tensor.shape)} of ${holder.path} is missing in the ${otherRole} model`,
    fix: near
      ? `The ${otherRole} model has "${near}": rename the tensors so that both use the same names.`
      : `Give two models of one architecture; ${other.path} has ${other.tensors.size} tensors.`,
  };
}

/** The tensor of the other model that goes by another name of `name` there. */
function nearestName(name: string, other: Checkpoint): string | undefined {
  return equivalentNames(name).find((candidate) => other.tensors.has(candidate));
}

/** Inputs of the wrong kind, or in the wrong order. */
async function checkKinds(
  base: Checkpoint,
  finetuned: Checkpoint,
  problems: Problem[],
  warnings: string[],
): Promise<void> {
  for (const checkpoint of [base, finetuned]) {
    if (!checkpoint.isAdapter) continue;
    problems.push({
      code: 'ERR_ADAPTER',
      file: checkpoint.path,
      message: `${checkpoint.path} is a PEFT adapter: low-rank factors, not weights`,
      fix: 'Write a merge file, which takes base+adapter for a model, or give the two merged (merge_and_unload in PEFT).',
    });
  }
  const differences = configDifferences(base.config, finetuned.config);
  const described = differences.map(describeDifference).join(', ');
  if (differences.some(({ key, incompatible }) => incompatible || key === 'model_type')) {
    problems.push({
      code: 'ERR_ARCHITECTURE_MISMATCH',
      file: finetuned.path,
      message: `config.json of the zero-shot and of the fine-tuned model have ${described}`,
      fix: 'Give two models of one architecture.',
    });
  } else if (differences.length > 0) {
    warnings.push(
      `config.json of the zero-shot and of the fine-tuned model have ${described}; the output has those of the first`,
    );
  }
  if (base.path === finetuned.path)
    warnings.push('both inputs are the same path: every alpha gives the input back');
  const parent = await readParent(base);
  const finetunedName = finetuned.path.split('/').at(-1)!;
  if (parent?.split('/').at(-1) === finetunedName) {
    warnings.push(
      `the model card of the zero-shot model names ${finetunedName} as its base model: zeroshot and finetuned look swapped`,
    );
  }
}

function warnAboutDtypes(
  pairs: readonly TensorPair[],
  outDtype: DTypeName | undefined,
  warnings: string[],
): void {
  const mixed = pairs.filter(({ x, y }) => x.dtype !== y.dtype);
  if (mixed.length > 0) {
    const { x, y } = mixed[0]!;
    warnings.push(
      `${mixed.length} tensors have different float dtypes in the two models ("${x.name}": ${x.dtype} and ${y.dtype}); ` +
        `interpolated in f32 and written as ${outDtype ?? 'in the zero-shot model'}`,
    );
  }
  if (outDtype !== 'F8_E4M3' && outDtype !== 'F8_E5M2') return;
  warnings.push(
    `${outDtype} without scales keeps 2 or 3 mantissa bits; use it for storage only if the model was trained for it`,
  );
}
