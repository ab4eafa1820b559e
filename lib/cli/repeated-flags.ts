import type { Command } from 'commander';

const accumulating = new WeakSet<object>();

/** Marks the parser of a flag that may be repeated: it is given what the earlier ones came to. */
export function accumulates<Parse extends object>(parse: Parse): Parse {
  accumulating.add(parse);
  return parse;
}

/**
 * A flag that takes one value is given once: of several the last would count, and the others be lost without a word. Flags
 * that are there or not may be repeated. For all flags of a program, which is used for one command line.
 */
export function refuseRepeatedFlags(program: Command): void {
  for (const command of [program, ...program.commands]) {
    for (const option of command.options) {
      if (!option.required || option.variadic) continue;
      if (option.parseArg && accumulating.has(option.parseArg)) continue;
      let given = false;
      command.on(`option:${option.name()}`, () => {
        if (given) {
          command.error(`error: option '${option.flags}' is given more than once\n(Keep one of them.)`, {
            code: 'wisemerge.repeatedFlag',
          });
        }
        given = true;
      });
    }
  }
}
