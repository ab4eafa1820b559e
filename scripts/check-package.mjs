// Packs, installs the package into an empty project, loads it there, and compiles a program that uses it: what a user gets. The addon is the one of
// build/Release where it is not packed; --prebuilt: it must be packed, as it is in what gets published.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const project = mkdtempSync(join(tmpdir(), 'wisemerge-package-'));
try {
  run(root, 'npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', project]);
  const [tarball] = readdirSync(project);
  writeFileSync(join(project, 'package.json'), '{"private": true, "type": "module"}\n');
  const quiet = ['--silent', '--no-audit', '--no-fund', '--prefer-offline', '--ignore-scripts'];
  run(project, 'npm', ['install', ...quiet, `./${tarball}`]);

  const installed = join(project, 'node_modules', 'wisemerge');
  const prebuilds = join(installed, 'prebuilds', `${process.platform}-${process.arch}`);
  if (!existsSync(prebuilds)) {
    if (process.argv.includes('--prebuilt')) fail('the package has no prebuilt addon: npm run prebuilds');
    mkdirSync(prebuilds, { recursive: true });
    copyFileSync(join(root, 'build', 'Release', 'wisemerge.node'), join(prebuilds, 'wisemerge.node'));
  }
  const program = `
    import { devices, merge } from 'wisemerge';
    if (typeof merge !== 'function' || devices()[0]?.backend !== 'cpu') throw new Error('not what was expected');`;
  run(project, process.execPath, ['--input-type=module', '-e', program]);
  const commonjs = `if (typeof require('wisemerge').merge !== 'function') throw new Error('not what was expected');`;
  run(project, process.execPath, ['--input-type=commonjs', '-e', commonjs]);
  run(project, 'npx', ['--no-install', 'wisemerge', 'doctor']);
  checkTypes();
  console.log(`${tarball} installs and loads`);
} finally {
  rmSync(project, { recursive: true });
}

/** The types, all of them, in a strict project that names no types of its own: they bring what they need. */
function checkTypes() {
  const consumer = `
    import { finetune, type MergeResult, merge, openTrainingFeatures, sweep, type WisemergeError } from 'wisemerge';

    const { signal } = new AbortController();
    const ends = { zeroshot: 'zeroshot', finetuned: 'finetuned' };
    export const merged: Promise<MergeResult> = merge({ ...ends, alpha: [0.25, 0.5], out: 'merged', signal });
    const train = await openTrainingFeatures({ features: 'train.npy', labels: 'labels.npy' });
    export const { epochs } = await finetune({ zeroshot: 'zeroshot', train, out: 'tuned' });
    const set = { name: 'val', role: 'select', kind: 'id', features: 'val.npy', labels: 'labels.npy' } as const;
    const { analysis, likelihood } = await sweep({ ...ends, sets: [set], out: 'results' });
    export const chosen: number = analysis.selection.alpha;
    export const temperature: number | null | undefined = likelihood?.calibrated.temperature;
    export const code = (error: WisemergeError): string => error.code;`;
  writeFileSync(join(project, 'consumer.ts'), consumer);
  const compilerOptions = {
    ...{ target: 'es2022', lib: ['es2023'], module: 'nodenext', types: [], noEmit: true },
    ...{ strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false },
  };
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['consumer.ts'] }));
  run(project, process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', '.']);
}

function run(cwd, command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  if (status !== 0) fail(`${command} ${args.join(' ')}: ${error?.message ?? `${stdout}${stderr}`}`);
}

function fail(message) {
  console.error(message);
  rmSync(project, { recursive: true });
  process.exit(1);
}
