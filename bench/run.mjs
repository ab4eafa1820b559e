// Benchmarks of wisemerge; see bench/README.md.
//
//   node bench/run.mjs [SUITE …] [--quick] [--dir DIR] [--pairs N] [--json FILE]
//
// A table goes to stderr, one JSON object to stdout (and to FILE). Exits with 1 if a target was missed.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { planMerge, version } from '../dist/index.js';
import { staleBuilds } from './lib/build.mjs';
import { layers, openPair } from './lib/checkpoints.mjs';
import { formatTable } from './lib/figures.mjs';
import { checkMerge } from './lib/gate.mjs';
import { cpuCounters, describeMachine, load, stealBetween } from './lib/machine.mjs';
import { mergeOnce, usualAlphas } from './lib/merging.mjs';
import { alphas } from './suites/alphas.mjs';
import { cold } from './suites/cold.mjs';
import { files } from './suites/files.mjs';
import { giant } from './suites/giant.mjs';
import { header } from './suites/header.mjs';
import { heads } from './suites/heads.mjs';
import { kernels } from './suites/kernels.mjs';
import { loop } from './suites/loop.mjs';
import { memory } from './suites/memory.mjs';
import { methods } from './suites/methods.mjs';
import { networks } from './suites/networks.mjs';
import { products } from './suites/products.mjs';
import { shapes } from './suites/shapes.mjs';
import { warm } from './suites/warm.mjs';

const suites = {
  kernels,
  methods,
  products,
  heads,
  networks,
  shapes,
  header,
  cold,
  warm,
  alphas,
  files,
  memory,
  giant,
  loop,
};
const groups = { all: Object.keys(suites), merge: ['cold', 'warm', 'alphas'] };
const withoutMerge = new Set([
  'kernels',
  'methods',
  'products',
  'heads',
  'networks',
  'shapes',
  'header',
  'giant',
]);

const log = (text) => process.stderr.write(`${text}\n`);
const options = parseOptions();
const directory = resolve(options.quick ? join(options.dir, 'quick') : options.dir);
mkdirSync(directory, { recursive: true });
const scratch = join(directory, `scratch-${process.pid}`);
const stale = staleBuilds();
for (const command of stale) log(`warning: built from older sources; run: ${command}`);

const report = {
  bench: 'wisemerge',
  version,
  command: `node bench/run.mjs ${process.argv.slice(2).join(' ')}`.trim(),
  date: new Date().toISOString(),
  machine: describeMachine(directory),
  stale,
  suites: {},
};
try {
  const context = { ...options, directory, scratch, log };
  if (options.suites.some((name) => !withoutMerge.has(name)))
    Object.assign(context, await prepareMerges(context));
  report.gate = context.gate;
  for (const name of options.suites) {
    const before = { load: load(), cpu: cpuCounters() };
    const outcome = await suites[name](context);
    const steal = stealBetween(before.cpu, cpuCounters());
    report.suites[name] = { load: [before.load, load()], steal, ...outcome };
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

const verdicts = Object.values(report.suites).flatMap(({ figures = [] }) =>
  figures.map(({ verdict }) => verdict),
);
report.verdicts = Object.fromEntries(
  ['pass', 'unclear', 'miss'].map((verdict) => [verdict, verdicts.filter((v) => v === verdict).length]),
);
const json = `${JSON.stringify(report, null, 2)}\n`;
if (options.json) writeFileSync(options.json, json);
log(formatTable(report.suites));
process.stdout.write(json);
process.exitCode = report.verdicts.miss > 0 ? 1 : 0;

/** Inputs, block size, and one merge whose output is checked before anything is timed. */
async function prepareMerges({ quick }) {
  const pair = await openPair(directory, quick ? layers.quick : layers.usual, log);
  const { memory: shape } = await planMerge(mergeArguments(pair));
  let elements = 0;
  await mergeOnce({ pair, scratch }, usualAlphas, (result) => {
    elements = checkMerge(pair, result, shape.block);
  });
  log(`${elements} elements of a merge are as the oracle says`);
  return {
    pair,
    block: shape.block,
    gate: { elements, block: shape.block, slots: shape.slots, bytes: pair.bytes },
  };
}

function mergeArguments({ zeroshot, finetuned }) {
  return { zeroshot, finetuned, alpha: usualAlphas[0], out: join(scratch, 'merged') };
}

function parseOptions() {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const { values, positionals } = parseFlags(join(root, 'out', 'bench', 'data'));
  const names = positionals.length > 0 ? positionals : ['all'];
  const pairs = Number(values.pairs ?? (values.quick ? 3 : 9));
  const known = [...Object.keys(suites), ...Object.keys(groups)];
  if (!names.every((name) => known.includes(name)) || !Number.isInteger(pairs) || pairs < 1) {
    usage(`suites: ${known.join(', ')}; N is 1 or more`);
  }
  return { ...values, pairs, suites: [...new Set(names.flatMap((name) => groups[name] ?? [name]))] };
}

function parseFlags(defaultDirectory) {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        quick: { type: 'boolean', default: false },
        dir: { type: 'string', default: defaultDirectory },
        pairs: { type: 'string' },
        json: { type: 'string' },
      },
    });
  } catch (error) {
    return usage(error.message);
  }
}

function usage(reason) {
  log(`${reason}\nusage: node bench/run.mjs [SUITE …] [--quick] [--dir DIR] [--pairs N] [--json FILE]`);
  process.exit(2);
}
