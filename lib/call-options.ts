import { WisemergeError } from './errors.js';
import { startPulse } from './files/pool-pulse.js';

/** Throws ERR_USAGE that names the option. */
export function failOption(option: string, why: string, hint?: string): never {
  throw new WisemergeError('ERR_USAGE', `${option}: ${why}`, {
    ...(hint !== undefined && { hint }),
    details: { option },
  });
}

/**
 * Begins a call that is over when what this gives is disposed of. Throws as `checkCall` does, and keeps file requests of the
 * call from lying unseen (files/pool-pulse.ts).
 */
export function beginCall(options: unknown): Disposable {
  checkCall(options);
  return startPulse();
}

/**
 * What all calls have in common, checked before anything is taken out of their options: an object, a signal that is
 * one, listeners that can be called, and text that can be a path. Throws ERR_USAGE naming the option, or the reason
 * of a signal that is aborted already.
 */
export function checkCall(options: unknown): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    failOption(
      'options',
      'must be an object',
      "Give the call's options as one object, such as { out: 'models/out' }.",
    );
  }
  for (const [option, value] of Object.entries(options)) {
    if (value === undefined) continue;
    refuseUrl(value, option);
    if (typeof value === 'string' && value.includes('\0')) {
      failOption(
        option,
        'must not contain a NUL character',
        'No path has one: look where the text comes from.',
      );
    }
    // `onCorrupt` of images is a word.
    if (/^on[A-Z]/.test(option) && option !== 'onCorrupt' && typeof value !== 'function') {
      failOption(option, 'must be a function', 'Give a function, or leave it out.');
    }
  }
  checkSignal((options as { readonly signal?: unknown }).signal);
}

/** Throws ERR_USAGE for an option that the call does not have. */
export function checkNames(options: object, known: readonly string[]): void {
  for (const option of Object.keys(options)) {
    if (known.includes(option)) continue;
    failOption(option, `unknown option; known are ${known.join(', ')}`, 'Correct its name, or leave it out.');
  }
}

/** `what` is a path's name in messages. Throws ERR_USAGE. */
export function checkPath(path: unknown, what: string): void {
  if (typeof path === 'string' && path !== '' && !path.includes('\0')) return;
  refuseUrl(path, what);
  failOption(what, 'must be non-empty text without NUL', 'Give the path of a file or directory.');
}

/** Where Node's own calls take the URL of a file, as `new URL('models', import.meta.url)` makes it, these take its path. */
function refuseUrl(value: unknown, option: string): void {
  // Not by instanceof: URLs come from other realms, too.
  if (Object.prototype.toString.call(value) !== '[object URL]') return;
  failOption(option, 'must be a path, not a URL', 'Give fileURLToPath(url), of node:url.');
}

function checkSignal(signal: unknown): void {
  if (signal === undefined) return;
  // Not by instanceof: signals come from other realms, too.
  const { aborted, addEventListener, throwIfAborted } = (signal ?? {}) as Partial<AbortSignal>;
  if (
    typeof aborted !== 'boolean' ||
    typeof addEventListener !== 'function' ||
    typeof throwIfAborted !== 'function'
  ) {
    failOption(
      'signal',
      'must be an AbortSignal',
      'Give the signal of an AbortController, or AbortSignal.timeout(ms).',
    );
  }
  (signal as AbortSignal).throwIfAborted();
}
