import { checkSpace, type DiskSpace } from '../checkpoint/free-space.js';
import { checkPlace, type PlaceOptions } from '../checkpoint/output-place.js';
import { type ErrorCode, exitCode, WisemergeError } from '../errors.js';

/** Something in the inputs, the options or the output that a merge cannot pass over. */
export interface Problem {
  readonly code: ErrorCode;
  /** What is wrong, with both sides' values. */
  readonly message: string;
  readonly tensor?: string;
  readonly file?: string;
  /** What to do about it. */
  readonly fix: string;
}

/** Problems listed in the message of the error; all are in `details.problems`. */
const listed = 20;

/** An error as one of several problems. */
export function problemOf({ code, message, tensor, file, hint = '' }: WisemergeError): Problem {
  return {
    code,
    message,
    fix: hint,
    ...(tensor !== undefined && { tensor }),
    ...(file !== undefined && { file }),
  };
}

/**
 * What keeps a run from writing to `out`: a directory that exists, or cannot be one, and too little space. Throws ERR_IO.
 */
export async function outputProblems(out: string, place: PlaceOptions, disk: DiskSpace): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const check of [() => checkPlace(out, place), () => checkSpace(out, disk)]) {
    try {
      await check();
    } catch (error) {
      if (!(error instanceof WisemergeError) || error.code === 'ERR_IO') throw error;
      problems.push(problemOf(error));
    }
  }
  return problems;
}

/** The error that a merge with these problems ends with: with all of them, and the code of the only one. */
export function refusal(problems: readonly Problem[]): WisemergeError {
  const ofUse = problems.map(({ code, message, fix: hint, ...where }) => {
    return new WisemergeError(code, message, { ...where, hint });
  });
  const [first, ...more] = ofUse;
  // Among problems of the inputs those of the call and of the disk are listed like any other.
  if (!first || ofUse.some((error) => exitCode(error) === 3)) return incompatible(problems);
  if (more.length === 0) return first;
  const message = `merge would refuse: ${problems.length} problems\n${lines(problems)}`;
  return new WisemergeError(first.code, message, { details: { problems } });
}

function lines(problems: readonly Problem[]): string {
  const texts = problems.slice(0, listed).map(({ message, fix }) => `  - ${message}${fix && `\n    ${fix}`}`);
  if (problems.length > listed) texts.push(`  … and ${problems.length - listed} more`);
  return texts.join('\n');
}

/**
 * One error for all problems of a pair of inputs, so that they can be mended in one go. Tensor and file are those of a
 * problem that is the only one.
 */
export function incompatible(problems: readonly Problem[]): WisemergeError {
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
  const only = problems.length === 1 ? problems[0] : undefined;
  return new WisemergeError('ERR_INCOMPATIBLE', `the inputs cannot be merged: ${count}\n${lines(problems)}`, {
    ...(only?.tensor !== undefined && { tensor: only.tensor }),
    ...(only?.file !== undefined && { file: only.file }),
    details: { problems },
  });
}
