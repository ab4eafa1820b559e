import type { Checkpoint } from '../../checkpoint/checkpoint.js';
import { WisemergeError } from '../../errors.js';
import { findNetwork, type Network } from '../dense-network.js';
import type { Architecture } from './architecture.js';
import type { ProgramBuilder, Rows } from './builder.js';
import { checkShape, floatsOf } from './inputs.js';

/**
 * A checkpoint whose tensors all are layers of an MLP (`findNetwork`), from `features` to `logits`; undefined for any
 * other.
 */
export function mlp(checkpoint: Checkpoint): Architecture | undefined {
  const network = networkOf(checkpoint);
  if (network?.tensors.length !== checkpoint.tensors.size) return undefined;
  const { layers, inputs } = network;
  return {
    name: 'mlp',
    parts: [
      {
        needs: ['features'],
        bind(given) {
          const features = given.get('features')!;
          const [batch] = checkShape('features', features, ['N', inputs]) as [number];
          return {
            batch,
            tokens: 1,
            arrays: new Map([['features', floatsOf('features', features)]]),
            build(b, count) {
              const logits = chain(b, b.input('features', 'f32', count, inputs), layers);
              b.output('logits', logits, [count, logits.width]);
            },
          };
        },
      },
    ],
  };
}

/** One layer after another. */
export function chain(b: ProgramBuilder, features: Rows, layers: Network['layers']): Rows {
  let x = features;
  for (const { kind, weight, epsilon } of layers) {
    if (kind === 'linear') x = b.linear(x, weight!.name);
    else if (kind === 'layernorm') x = b.layerNorm(x, weight!.name.replace(/\.weight$/, ''), epsilon!);
    else x = b.activation(x, kind);
  }
  return x;
}

function networkOf(checkpoint: Checkpoint): Network | undefined {
  try {
    return findNetwork(checkpoint);
  } catch (error) {
    if (error instanceof WisemergeError && error.code === 'ERR_NO_SUCH_TENSOR') return undefined;
    throw error;
  }
}
