import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { devices, dtypeByName, dtypes, Engine, HostBuffer, versions } from '../../lib/native.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

describe('devices', () => {
  it('has the CPU, and CUDA or the reason why not', () => {
    const [cpu, ...others] = devices();
    expect(cpu).toMatchObject({ backend: 'cpu', ordinal: 0, available: true });
    expect(['baseline', 'avx2', 'avx512']).toContain(cpu!.isa);
    expect(cpu!.computeUnits).toBeGreaterThan(0);
    expect(others.length).toBeGreaterThan(0);
    for (const device of others) {
      expect(device.backend).toBe('cuda');
      if (device.available) expect(device.memoryTotal).toBeGreaterThan(0);
      else expect(device.reason).toMatch(/\w/);
    }
  });

  it.each([
    ['no library', '/nonexistent/backend.so', /\/nonexistent\/backend\.so, which does not exist/],
    ['a file that is no library', fileURLToPath(import.meta.url), /cannot load/],
  ])('says why there is no CUDA: %s', (_, library, reason) => {
    const code = `
      const addon = require('node-gyp-build')(${JSON.stringify(root)});
      const cuda = addon.devices()[1];
      let code;
      try { new addon.Engine('cuda', 0, 0, '', 'exact'); } catch (error) { code = error.code; }
      console.log(JSON.stringify({ available: cuda.available, reason: cuda.reason, code }));`;
    const { stdout, status } = spawnSync(process.execPath, ['-e', code], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, WISEMERGE_CUDA_LIBRARY: library },
    });
    expect(status).toBe(0);
    const result = JSON.parse(stdout) as { available: boolean; reason: string; code: string };
    expect(result).toMatchObject({ available: false, code: 'ERR_DEVICE_UNAVAILABLE' });
    expect(result.reason).toMatch(reason);
  });

  it.runIf(process.platform === 'linux')('refuses a library that is no backend of this build', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'wisemerge-backend-'));
    const backend = join(folder, 'backend.c');
    writeFileSync(backend, 'const unsigned abi = 999; const void* wisemerge_backend(void) { return &abi; }');
    const other = join(folder, 'other.c');
    writeFileSync(other, 'int other;');
    for (const [source, reason] of [
      [backend, /ABI 999 and this addon needs 9/],
      [other, /not a wisemerge backend/],
    ] as const) {
      const library = source.replace('.c', '.so');
      expect(spawnSync('cc', ['-shared', '-fPIC', source, '-o', library]).status).toBe(0);
      const code = `console.log(require('node-gyp-build')(${JSON.stringify(root)}).devices()[1].reason)`;
      const { stdout } = spawnSync(process.execPath, ['-e', code], {
        cwd: root,
        encoding: 'utf8',
        env: { ...process.env, WISEMERGE_CUDA_LIBRARY: library },
      });
      expect(stdout).toMatch(reason);
    }
    await rm(folder, { recursive: true });
  });
});

describe('Engine', () => {
  it('reports its device, with the SIMD level it was held to', () => {
    using best = new Engine();
    using held = new Engine({ isa: 'baseline' });
    expect(best.device).toMatchObject({ backend: 'cpu', available: true, isa: devices()[0]!.isa });
    expect(held.device.isa).toBe('baseline');
  });

  it.each([{ device: 'cpu', ordinal: 1 }, { device: 'tpu' as 'cpu' }] as const)('refuses %o', (options) => {
    expect(() => new Engine(options)).toThrow(expect.objectContaining({ code: 'ERR_DEVICE_UNAVAILABLE' }));
  });

  it.each(['fast', 'tf32'] as const)('has one precision on the CPU, which is not %s', async (precision) => {
    using engine = new Engine({ precision });
    const f32 = dtypeByName('F32')!.index;
    using arena = new HostBuffer(4096);
    await expect(engine.compare(arena, Float64Array.of(f32, f32, 1, 0, 0))).rejects.toMatchObject({
      code: 'ERR_DEVICE_UNAVAILABLE',
      message: expect.stringContaining('precision'),
    });
  });

  it.each([
    { precision: 'quick' as 'fast' },
    { ordinal: -1 },
    { threads: -1 },
    { threads: 1.5 },
    { threads: 2 ** 40 },
  ])('refuses %o', (options) => {
    expect(() => new Engine(options)).toThrow(expect.objectContaining({ code: 'ERR_INTERNAL_ARGUMENT' }));
  });
});

describe('dtypes', () => {
  it('are the 22 of the format, in ascending order of size', () => {
    expect(dtypes.map(({ index }) => index)).toEqual(dtypes.map((_, i) => i));
    expect(dtypes.length).toBe(22);
    expect(dtypes.filter(({ kind }) => kind === 'float').map(({ name }) => name)).toEqual([
      'F8_E5M2',
      'F8_E4M3',
      'F16',
      'BF16',
      'F32',
      'F64',
    ]);
    expect(dtypeByName('BF16')).toMatchObject({ bits: 16, kind: 'float' });
    expect(dtypeByName('F4')).toMatchObject({ bits: 4, kind: 'packed' });
    expect(dtypeByName('bfloat16')).toBeUndefined();
    expect(Object.isFrozen(dtypes) && dtypes.every(Object.isFrozen)).toBe(true);
  });
});

it('versions are those of the package and of the ABI', async () => {
  const manifest = await import('../../package.json', { with: { type: 'json' } });
  expect(versions).toEqual({ addon: manifest.default.version, napi: 9, backendAbi: 9 });
});
