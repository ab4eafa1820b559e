// No timing before the bits are right: samples of an output against an oracle that shares no code with the merge.
import { closeSync, openSync, readSync } from 'node:fs';
import { basename } from 'node:path';
import { weightFiles } from './checkpoints.mjs';
import { generator } from './statistics.mjs';

const clusters = 2000;
const clusterElements = 64;

/**
 * Compares about 2000 runs of 64 elements at random places, the ends of every tensor and the elements around every
 * multiple of `block` bytes of the output, for each output of a merge. Throws at the first wrong element; gives
 * the number compared.
 */
export function checkMerge(pair, result, block) {
  let compared = 0;
  for (const { alpha, directory } of result.outputs) {
    const files = [pair.zeroshot, pair.finetuned, directory].map(openOnly);
    try {
      compared += checkFile(files, alpha, block);
    } finally {
      for (const { fd } of files) closeSync(fd);
    }
  }
  return compared;
}

function checkFile([zeroshot, finetuned, output], alpha, block) {
  const names = [...zeroshot.tensors.keys()];
  if (names.join('\n') !== [...output.tensors.keys()].join('\n'))
    throw new Error('the output has other tensors');
  let compared = 0;
  for (const [name, index] of places(output, names, block)) {
    const { dtype, shape, position, count } = output.tensors.get(name);
    const x = zeroshot.tensors.get(name);
    if (dtype !== 'BF16' || x.dtype !== dtype || String(shape) !== String(x.shape))
      throw new Error(`${name} changed`);
    const first = Math.max(0, Math.min(index, count - clusterElements));
    const length = Math.min(clusterElements, count - first);
    const [xs, ys, outs] = [x, finetuned.tensors.get(name), { position }].map((tensor, i) =>
      elements([zeroshot, finetuned, output][i].fd, tensor.position + 2 * first, length),
    );
    for (let i = 0; i < length; i++) {
      const expected = lerpBf16(xs[i], ys[i], alpha);
      if (outs[i] === expected) continue;
      throw new Error(
        `${basename(output.path)}: ${name}[${first + i}] is ${outs[i]}, not ${expected} (bits of bf16)`,
      );
    }
    compared += length;
  }
  return compared;
}

/** [tensor, element] pairs to look at. */
function* places({ tensors, bytes }, names, block) {
  for (const [name, { count }] of tensors) {
    yield [name, 0];
    yield [name, count];
  }
  const ends = names.map((name) => tensors.get(name).position + 2 * tensors.get(name).count);
  const at = (position) => {
    const name = names[ends.findIndex((end) => position < end)];
    return name && [name, Math.floor((position - tensors.get(name).position) / 2)];
  };
  const random = generator(bytes);
  for (let i = 0; i < clusters; i++) {
    const place = at(Math.floor(random() * bytes));
    if (place) yield place;
  }
  for (let edge = block; edge < bytes; edge += block) yield at(edge - clusterElements);
}

/** θ₀ + fl(θ₁ − θ₀)·α rounded to f32 as one fused operation, then to bf16, nearest even. Bits in, bits out. */
export function lerpBf16(x, y, alpha) {
  if (x === y || alpha === 0) return x;
  if (alpha === 1) return y;
  const a = widen(x);
  const product = Math.fround(alpha) * Math.fround(widen(y) - a);
  return toBf16(Math.fround(addToOdd(product, a)));
}

const view = new DataView(new ArrayBuffer(8));

function widen(bits) {
  view.setUint32(0, bits << 16);
  return view.getFloat32(0);
}

/** The product of two f32 is exact in f64; their sum is rounded to odd, so that rounding to f32 is the only one. */
function addToOdd(a, b) {
  const sum = a + b;
  const part = sum - a;
  const error = a - (sum - part) + (b - part);
  if (error === 0) return sum;
  view.setFloat64(0, sum);
  const bits = view.getBigUint64(0) - (Math.sign(error) === Math.sign(sum) ? 0n : 1n);
  view.setBigUint64(0, bits | 1n);
  return view.getFloat64(0);
}

function toBf16(value) {
  view.setFloat32(0, value);
  const bits = view.getUint32(0);
  const discarded = bits & 0xffff;
  const kept = bits >>> 16;
  return discarded > 0x8000 || (discarded === 0x8000 && kept & 1) ? kept + 1 : kept;
}

function elements(fd, position, count) {
  const data = Buffer.alloc(2 * count);
  readSync(fd, data, 0, data.length, position);
  return Array.from({ length: count }, (_, i) => data.readUInt16LE(2 * i));
}

function openOnly(directory) {
  const files = weightFiles(directory);
  if (files.length !== 1)
    throw new Error(`${directory} has ${files.length} weight files; the benchmark reads one`);
  const [path] = files;
  const fd = openSync(path, 'r');
  const length = Buffer.alloc(8);
  readSync(fd, length, 0, 8, 0);
  const json = Buffer.alloc(Number(length.readBigUInt64LE()));
  readSync(fd, json, 0, json.length, 8);
  const tensors = new Map();
  let bytes = 0;
  for (const [name, { dtype, shape, data_offsets: range }] of Object.entries(JSON.parse(json))) {
    if (name === '__metadata__') continue;
    tensors.set(name, {
      dtype,
      shape,
      position: 8 + json.length + range[0],
      count: (range[1] - range[0]) / 2,
    });
    bytes = Math.max(bytes, 8 + json.length + range[1]);
  }
  return { path, fd, tensors, bytes };
}
