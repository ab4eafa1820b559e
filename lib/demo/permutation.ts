import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { openCheckpoint } from '../checkpoint/checkpoint.js';
import { type TensorData, writeSafetensors } from '../checkpoint/write-safetensors.js';
import { ioError } from '../errors.js';
import { findNetwork } from '../eval/dense-network.js';
import { Random } from '../statistics/random.js';

/**
 * Writes an MLP, float32 and without normalisation layers, with the units of every hidden layer in another order:
 * the same function by other weights, at no linear path's end (Entezari et al., 2022).
 */
export async function permuteHiddenUnits(
  from: string,
  to: string,
  seed: number,
  stream: number,
): Promise<void> {
  const random = new Random(seed, stream);
  await using model = await openCheckpoint(from);
  const linears = findNetwork(model).layers.filter(({ kind }) => kind === 'linear');
  const tensors: TensorData[] = [];
  // Of what enters the layer.
  let before = identity(linears[0]!.inputs);
  for (const [i, { inputs, outputs, weight, bias }] of linears.entries()) {
    const after = identity(outputs);
    if (i < linears.length - 1) random.shuffle(after);
    for (const tensor of [weight!, ...(bias ? [bias] : [])]) {
      const columns = tensor === weight ? inputs : 1;
      const order = tensor === weight ? before : identity(1);
      const stored = new Float32Array((await model.readTensor(tensor.name)).buffer);
      const moved = stored.map((_, at) => {
        const [row, column] = [Math.floor(at / columns), at % columns];
        return stored[after[row]! * columns + order[column]!]!;
      });
      const { name, dtype, shape } = tensor;
      tensors.push({ name, dtype, shape, data: new Uint8Array(moved.buffer) });
    }
    before = after;
  }
  try {
    await mkdir(to, { recursive: true });
    await writeSafetensors(join(to, 'model.safetensors'), tensors, { format: 'pt' });
    await copyFile(join(from, 'config.json'), join(to, 'config.json'));
  } catch (error) {
    throw ioError(error, 'write', to);
  }
}

const identity = (count: number): Uint32Array => Uint32Array.from({ length: count }, (_, i) => i);
