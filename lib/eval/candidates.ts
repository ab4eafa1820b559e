import { existsSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { manifestName } from '../checkpoint/manifest.js';
import { removeDirectory } from '../files/remove.js';

/**
 * The models that are written to `out/candidates` for a command to evaluate. Each is deleted when it has been evaluated, and the
 * directory when nothing else is in it: what other runs or the user keep there is theirs.
 */
export class Candidates {
  readonly #directory: string;
  readonly #keep: boolean;
  #underWay = 0;

  constructor(out: string, keep: boolean) {
    this.#directory = join(out, 'candidates');
    this.#keep = keep;
  }

  pathOf(name: string): string {
    return join(this.#directory, name);
  }

  /** Gives what `evaluate` gives for the model that `write` leaves in the directory it is given. */
  async evaluate<Result>(
    name: string,
    write: (directory: string) => Promise<unknown>,
    evaluate: (directory: string) => Promise<Result>,
  ): Promise<Result> {
    const model = this.pathOf(name);
    this.#underWay++;
    try {
      // What a command left in the model of an earlier run, perhaps one that was killed, goes with it. Anything else that
      // stands there is refused by whoever writes.
      if (existsSync(join(model, manifestName))) await removeDirectory(model);
      await write(model);
      try {
        return await evaluate(model);
      } finally {
        if (!this.#keep) await removeDirectory(model);
      }
    } finally {
      if (--this.#underWay === 0) this.#removeIfEmpty();
    }
  }

  /** In one step, so that no model begins to be written in between. */
  #removeIfEmpty(): void {
    try {
      rmdirSync(this.#directory);
    } catch {
      // It has something in it, or was never made.
    }
  }
}
