#!/usr/bin/env node
import { CommanderError } from 'commander';
import { exitCode } from '../errors.js';
import { createProgram } from './program.js';
import { exitOnBrokenPipe, interruptSignal, printError } from './terminal.js';

exitOnBrokenPipe();
const interrupt = interruptSignal();
const program = createProgram(interrupt.signal);
for (const command of [program, ...program.commands]) command.exitOverride();

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has printed its message; help and version are no failures.
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else {
    const flags = { json: process.argv.includes('--json') };
    printError(flags, error);
    process.exitCode = interrupt.exitCode() ?? exitCode(error);
  }
}
