import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Checkpoint, openCheckpoint } from '../checkpoint/checkpoint.js';
import type { TensorInfo } from '../checkpoint/tensor.js';
import { type TensorData, writeSafetensors } from '../checkpoint/write-safetensors.js';
import { ioError } from '../errors.js';
import { Random } from '../statistics/random.js';

/** Places of a tensor's rows and columns: out[i][j] = stored[rows[i]][columns[j]]. */
interface Move {
  readonly rows?: Uint32Array;
  readonly columns?: Uint32Array;
}

/**
 * Writes a ViT, float32, whose residual stream, heads and MLPs have their units in another order: the same function by
 * other weights (Entezari et al., 2022).
 */
export async function permuteVit(from: string, to: string, seed: number, stream: number): Promise<void> {
  const random = new Random(seed, stream);
  await using model = await openCheckpoint(from);
  const { hidden_size: width, num_attention_heads: heads } = model.config as Record<string, number>;
  const shuffled = (count: number) => {
    const order = Uint32Array.from({ length: count }, (_, i) => i);
    random.shuffle(order);
    return order;
  };
  const residual = shuffled(width!);
  const blocks = new Map<string, { attended: Uint32Array; inner: Uint32Array }>();
  const blockOf = (name: string) => {
    const key = /layer\.(\d+)\./.exec(name)![1]!;
    const known = blocks.get(key);
    if (known) return known;
    const inner = model.tensors.get(`vit.encoder.layer.${key}.intermediate.dense.bias`)!.count;
    const made = { attended: wholeHeads(shuffled(heads!), width! / heads!), inner: shuffled(inner) };
    blocks.set(key, made);
    return made;
  };
  const tensors: TensorData[] = [];
  for (const tensor of model.tensors.values()) {
    tensors.push(await moved(model, tensor, moveOf(tensor.name, residual, blockOf)));
  }
  try {
    await mkdir(to, { recursive: true });
    await writeSafetensors(join(to, 'model.safetensors'), tensors, { format: 'pt' });
    await copyFile(join(from, 'config.json'), join(to, 'config.json'));
  } catch (error) {
    throw ioError(error, 'write', to);
  }
}

/** Heads in another order, the numbers of each together. */
function wholeHeads(order: Uint32Array, headDim: number): Uint32Array {
  return Uint32Array.from({ length: order.length * headDim }, (_, i) => {
    return order[Math.floor(i / headDim)]! * headDim + (i % headDim);
  });
}

function moveOf(
  name: string,
  residual: Uint32Array,
  blockOf: (name: string) => { readonly attended: Uint32Array; readonly inner: Uint32Array },
): Move {
  if (name === 'classifier.bias') return {};
  if (name === 'classifier.weight' || /cls_token|position_embeddings/.test(name))
    return { columns: residual };
  if (/attention\.(query|key|value)\./.test(name)) return { rows: blockOf(name).attended, columns: residual };
  if (name.includes('attention.output.dense')) return { rows: residual, columns: blockOf(name).attended };
  if (name.includes('intermediate.dense')) return { rows: blockOf(name).inner, columns: residual };
  if (name.includes('output.dense')) return { rows: residual, columns: blockOf(name).inner };
  // Patches and norms.
  return { rows: residual };
}

async function moved(
  model: Checkpoint,
  { name, dtype, shape, count }: TensorInfo,
  { rows, columns }: Move,
): Promise<TensorData> {
  const stored = new Float32Array((await model.readTensor(name)).buffer);
  // A bias has rows alone; a patch's weight has a row of numbers that stay where they are.
  const height = shape.length > 1 && columns && !rows ? count / columns.length : (rows?.length ?? count);
  const width = count / height;
  const data = stored.map((_, at) => {
    const [row, column] = [Math.floor(at / width), at % width];
    const from = (rows?.[row] ?? row) * width;
    return stored[from + (width > 1 ? (columns?.[column] ?? column) : 0)]!;
  });
  return { name, dtype, shape, data: new Uint8Array(data.buffer) };
}
