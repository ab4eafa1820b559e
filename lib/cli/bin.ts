#!/usr/bin/env node
import { CommanderError } from 'commander';
import { exitCode, WisemergeError } from '../errors.js';
import { startPulse } from '../files/pool-pulse.js';
import { createProgram } from './program.js';
import { interruptSignal, printError, printErrorObject, watchPipes } from './terminal.js';

startPulse();
const interrupt = interruptSignal();
const done = watchPipes(interrupt);
const program = await createProgram(process.argv.slice(2), interrupt.signal);
for (const command of [program, ...program.commands]) command.exitOverride();

try {
  await program.parseAsync();
} catch (error) {
  const flags = { json: process.argv.includes('--json') };
  if (error instanceof CommanderError) {
    // Commander has printed its message; help and version are no failures.
    process.exitCode = error.exitCode === 0 ? 0 : 2;
    if (error.exitCode !== 0) {
      printErrorObject(flags, new WisemergeError('ERR_USAGE', error.message.replace(/^error: /, '')));
    }
  } else {
    printError(flags, error);
    process.exitCode = interrupt.exitCode() ?? exitCode(error);
  }
}
done();
