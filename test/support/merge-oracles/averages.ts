// Averages, element by element.
import {
  deltas,
  type Expected,
  given,
  type Oracle,
  plusDeltas,
  total,
  weighted,
  weightsOf,
} from './oracle.js';

/** Wortsman et al., 2022, "Robust fine-tuning of zero-shot models", equation 1: (1 - α) θ0 + α θ1. */
export const wiseFt: Oracle = ({ base, inputs, parameters }) => {
  const alpha = given(parameters, 'alpha');
  return weighted([1 - alpha, alpha], [base!, inputs[0]!.x]);
};

/** Wortsman et al., 2022, "Model soups": r = Σ w_i x_i, over Σ w_i. */
export const linear: Oracle = (tensor) => {
  const weights = weightsOf(tensor);
  const divisor = given(tensor.parameters, 'normalize', 1) ? total(weights) : 1;
  return weighted(
    weights.map((w) => w / divisor),
    tensor.inputs.map(({ x }) => x),
  );
};

/** Ibid.: the mean. */
export const uniformSoup: Oracle = ({ inputs }) =>
  weighted(
    inputs.map(() => 1 / inputs.length),
    inputs.map(({ x }) => x),
  );

/** r = x, or scale x. */
export const passthrough: Oracle = ({ inputs }) => {
  const [{ x, parameters }] = inputs as [(typeof inputs)[0]];
  return weighted([given(parameters, 'scale', 1)], [x]);
};

/** Matena and Raffel, 2022, equation 4, with F_i of at least epsilon: r = Σ w_i F_i x_i / Σ w_i F_i. */
export const fisher: Oracle = (tensor) => {
  const [weights, epsilon] = [weightsOf(tensor, 1), given(tensor.parameters, 'epsilon', 1e-6)];
  const [value, scale] = empty(tensor.inputs[0]!.x.length);
  for (let e = 0; e < value.length; e++) {
    let [sum, divisor] = [0, 0];
    for (const [i, { x, statistics }] of tensor.inputs.entries()) {
      const information = weights[i]! * Math.max(statistics![e]!, epsilon);
      sum += information * x[e]!;
      divisor += information;
      scale[e] = Math.max(scale[e]!, 2 * Math.abs(x[e]!));
    }
    value[e] = sum / divisor;
  }
  return { value, scale };
};

/** alchemonaut's NearSwap: w = clamp(t / max(|b - x|, 1e-6), 0, 1), r = w x + (1 - w) b. */
export const nearswap: Oracle = ({ base, inputs, parameters }) => {
  const t = given(parameters, 't');
  const x = inputs[0]!.x;
  const [value, scale] = empty(x.length);
  for (let e = 0; e < x.length; e++) {
    const w = Math.min(1, Math.max(0, t / Math.max(Math.abs(base![e]! - x[e]!), 1e-6)));
    value[e] = w * x[e]! + (1 - w) * base![e]!;
    // The difference and with it w is relative to the two.
    scale[e] = 2 * Math.max(Math.abs(x[e]!), Math.abs(base![e]!));
  }
  return { value, scale };
};

/** The recurrence of an exponential moving average (Ramé et al., 2024, WARP, section 3.1). */
export const ema: Oracle = ({ base, inputs, parameters }) => {
  const rate = given(parameters, 'rate');
  let value = base!;
  let scale = base!.map((b) => 2 * Math.abs(b));
  for (const { x } of inputs) {
    value = value.map((r, e) => (1 - rate) * r + rate * x[e]!);
    scale = scale.map((s, e) => s + 2 * Math.abs(x[e]!));
  }
  return { value, scale };
};

/** Wang et al., 2024, LiNeS, equation 2: λ of layer k of L is α + β (k - 1) / (L - 1). */
export const lines: Oracle = (tensor) => {
  const lambda = given(tensor.parameters, 'alpha') + given(tensor.parameters, 'beta') * tensor.depth;
  return plusDeltas(
    tensor.base!,
    weightsOf(tensor, 1).map((w) => lambda * w),
    deltas(tensor),
  );
};

/** Ilharco et al., 2023, section 4: forgetting is adding the negated task vector. */
export const negation: Oracle = (tensor) =>
  plusDeltas(
    tensor.base!,
    weightsOf(tensor, 1).map((w) => -given(tensor.parameters, 'lambda', 1) * w),
    deltas(tensor),
  );

const empty = (count: number): [Expected['value'], Expected['scale']] => [
  new Float64Array(count),
  new Float64Array(count),
];
