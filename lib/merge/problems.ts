import { type ErrorCode, WisemergeError } from '../errors.js';

/** Something in the inputs that a merge cannot pass over. */
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

/** One error for all problems of a pair of inputs, so that they can be mended in one go. */
export function incompatible(problems: readonly Problem[]): WisemergeError {
  const lines = problems.slice(0, listed).map(({ message, fix }) => `  - ${message}\n    ${fix}`);
  if (problems.length > listed) lines.push(`  … and ${problems.length - listed} more`);
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
  const [first] = problems;
  return new WisemergeError(
    'ERR_INCOMPATIBLE',
    `the inputs cannot be merged: ${count}\n${lines.join('\n')}`,
    {
      ...(first?.tensor !== undefined && { tensor: first.tensor }),
      ...(first?.file !== undefined && { file: first.file }),
      details: { problems },
    },
  );
}
