import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { noise } from './heads.js';
import { type Tensor, writeStored } from './safetensors.js';
import { tempDir } from './temp.js';

/** Shapes of tensors by name, and a configuration. */
export interface ModelShape {
  readonly config: Record<string, unknown>;
  /** File name of the configuration. Default: config.json. */
  readonly configName?: string;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
}

/** Shapes of a linear layer with a bias, and of a normalisation. */
export function linearShapes(name: string, outputs: number, inputs: number): Record<string, number[]> {
  return { [`${name}.weight`]: [outputs, inputs], [`${name}.bias`]: [outputs] };
}
export function normShapes(name: string, width: number): Record<string, number[]> {
  return { [`${name}.weight`]: [width], [`${name}.bias`]: [width] };
}

/** Writes a model with random weights; gives its directory and the weights. */
export async function randomModel(
  model: ModelShape,
  seed = 1,
): Promise<{ path: string; weights: Map<string, Float32Array> }> {
  const random = noise(seed);
  const weights = new Map(
    Object.entries(model.shapes).map(([name, shape]) => {
      const count = shape.reduce((a, b) => a * b, 1);
      const norm = shape.length === 1 && /norm/i.test(name) && name.endsWith('weight');
      return [name, Float32Array.from({ length: count }, () => (norm ? 1 : 0) + 0.7 * random())];
    }),
  );
  const tensors = [...weights].map(([name, data]): Tensor => {
    return { name, dtype: 'F32', shape: model.shapes[name]!, data: Buffer.from(data.buffer) };
  });
  const path = await writeModel(tensors, model.config, model.configName);
  return { path, weights };
}

export async function writeModel(
  tensors: readonly Tensor[],
  config: Record<string, unknown>,
  configName = 'config.json',
): Promise<string> {
  const path = join(await tempDir(), 'model');
  mkdirSync(path);
  writeFileSync(join(path, configName), JSON.stringify(config));
  const name = configName === 'config.json' ? 'model.safetensors' : 'open_clip_model.safetensors';
  writeStored(join(path, name), tensors);
  return path;
}
