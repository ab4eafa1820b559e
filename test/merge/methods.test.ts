// The specs of merge methods: complete, consistent, and the source of docs/methods.md.
import { readFile } from 'node:fs/promises';
import { describe, expect, it, test } from 'vitest';
import { inRange, methodsMarkdown } from '../../lib/merge/methods/document.js';
import { findMethod, methods } from '../../lib/merge/methods/registry.js';

test('docs/methods.md is what the specs say', async () => {
  const shipped = await readFile(new URL('../../docs/methods.md', import.meta.url), 'utf8');
  // The formatter pads the columns of tables.
  const plain = (text: string) => text.replaceAll(/ {2,}/g, ' ').replaceAll(/-{3,}/g, '---').trim();
  expect(plain(shipped), 'run: npm run docs').toBe(plain(methodsMarkdown()));
});

// As the users of mergekit know them: parameters with their defaults, `null` for required ones.
const mergekit: Record<string, Record<string, number | null>> = {
  linear: { weight: null, normalize: 1 },
  slerp: { t: null },
  nuslerp: { weight: null, nuslerp_row_wise: 0, nuslerp_flatten: 1 },
  multislerp: { weight: null, normalize_weights: 1, eps: 1e-8 },
  karcher: { max_iter: 10, tol: 1e-5 },
  task_arithmetic: { weight: null, density: 1, normalize: 0, rescale: 0, lambda: 1, int8_mask: 0 },
  ties: { weight: null, density: 1, normalize: 1, rescale: 0, lambda: 1, int8_mask: 0 },
  dare_ties: { weight: null, density: 1, normalize: 0, rescale: 1, lambda: 1, int8_mask: 0 },
  dare_linear: { weight: null, density: 1, normalize: 0, rescale: 1, lambda: 1, int8_mask: 0 },
  breadcrumbs: { weight: null, density: 1, gamma: 0.01, normalize: 0, rescale: 0, lambda: 1, int8_mask: 0 },
  breadcrumbs_ties: {
    weight: null,
    density: 1,
    gamma: 0.01,
    normalize: 0,
    rescale: 0,
    lambda: 1,
    int8_mask: 0,
  },
  della: { weight: null, density: 1, epsilon: 0.15, normalize: 1, rescale: 1, lambda: 1, int8_mask: 0 },
  della_linear: {
    weight: null,
    density: 1,
    epsilon: 0.15,
    normalize: 0,
    rescale: 1,
    lambda: 1,
    int8_mask: 0,
  },
  model_stock: { filter_wise: 0 },
  sce: { select_topk: 1, int8_mask: 0 },
  ram: { epsilon: 1e-5 },
  ramplus_tl: { r: 0.1, alpha: 0.2, epsilon: 1e-5 },
  nearswap: { t: null },
  arcee_fusion: {},
  passthrough: { scale: null },
};

test('every method of mergekit is there with its parameters and defaults', () => {
  for (const [name, parameters] of Object.entries(mergekit)) {
    const method = findMethod(name);
    expect(method, name).toBeDefined();
    const own = Object.fromEntries(method!.parameters.map((spec) => [spec.name, spec.default ?? null]));
    expect(own, name).toEqual(parameters);
  }
  expect(findMethod('passthrough')!.parameters[0]).toMatchObject({ optional: true });
});

describe('specs', () => {
  it('have distinct names, a source that can be found, and kernels that exist', () => {
    expect(new Set(methods.map(({ name }) => name)).size).toBe(methods.length);
    for (const { source, kernel, derive, name } of methods) {
      expect(source.arxiv ?? source.url, name).toMatch(/^\d{4}\.\d{5}$|^https:\/\//);
      expect(kernel === undefined || findMethod(kernel) !== undefined, name).toBe(true);
      expect(kernel === undefined, name).toBe(derive === undefined);
    }
  });

  it('have defaults within their ranges', () => {
    for (const { parameters } of methods) {
      for (const { default: initial, range } of parameters) {
        if (initial !== undefined && range) expect(inRange(initial, range)).toBe(true);
      }
    }
  });
});

describe('what the derived methods hand to their kernels', () => {
  const values = (parameters: Record<string, number>, weights: number[]) => ({
    parameters,
    inputs: weights.map((weight) => ({ weight })),
  });

  it('ema: the coefficients of the recurrence, over a base that keeps the rest', () => {
    const rate = 0.3;
    const { inputs } = findMethod('ema')!.derive!(values({ rate }, [0, 0, 0]), 0);
    // Scalars b = 10, x = 1, 2, 4 through r <- (1 - rate) r + rate x.
    const [b, xs] = [10, [1, 2, 4]];
    const expected = xs.reduce((r, x) => (1 - rate) * r + rate * x, b);
    const sum = inputs.reduce((r, { weight }, i) => r + weight! * (xs[i]! - b), b);
    expect(sum).toBeCloseTo(expected, 12);
  });

  it('lines: alpha at the first layer, alpha + beta at the last', () => {
    const derive = findMethod('lines')!.derive!;
    const scale = (depth: number) => derive(values({ alpha: 0.2, beta: 0.6 }, [1]), depth).parameters.lambda;
    expect([scale(0), scale(0.5), scale(1)]).toEqual([0.2, 0.5, 0.8]);
  });

  it('negation: the opposite sign', () => {
    const { parameters } = findMethod('negation')!.derive!(values({ lambda: 0.5 }, [2]), 0);
    expect(parameters).toEqual({ lambda: -0.5, normalize: 0 });
  });
});

describe('checks before any work', () => {
  const check = (name: string, parameters: Record<string, number>, inputs: Record<string, number>[]) =>
    findMethod(name)!.check!({ parameters, inputs });

  it('a weight sum of 0 with normalize is an error, also where only rounding keeps it from 0', () => {
    const weights = [{ weight: 0.1 }, { weight: 0.2 }, { weight: -0.3 }];
    expect(check('linear', { normalize: 1 }, weights)?.error).toMatch(/sum to 0/);
    expect(check('linear', { normalize: 0 }, weights)).toBeUndefined();
    expect(check('task_arithmetic', { normalize: 1 }, [{ weight: 1 }, { weight: -1 }])?.error).toMatch(
      /sum to 0/,
    );
    expect(check('linear', { normalize: 1 }, [{ weight: 1e-30 }])).toBeUndefined();
  });

  it('weights that are all 0 are an error of means, and no change of a base', () => {
    const weights = [{ weight: 0 }, { weight: -0 }];
    expect(check('linear', { normalize: 1 }, weights)?.error).toMatch(/sum to 0/);
    expect(check('fisher', {}, weights)?.error).toMatch(/sum to 0/);
    for (const name of ['task_arithmetic', 'dare_linear', 'breadcrumbs', 'della_linear']) {
      const own = weights.map((one) => ({ ...one, density: 0.5, epsilon: 0.1 }));
      expect(check(name, { normalize: 1 }, own), name).toBeUndefined();
    }
  });

  it('multislerp: the same of its normalised weights', () => {
    const weights = [{ weight: 0.1 }, { weight: 0.2 }, { weight: -0.3 }];
    expect(check('multislerp', { normalize_weights: 1 }, weights)?.error).toMatch(/sum to 0/);
    expect(check('multislerp', { normalize_weights: 0 }, weights)).toBeUndefined();
    expect(
      check('multislerp', { normalize_weights: 1 }, [{ weight: 1e-30 }, { weight: 1e-30 }]),
    ).toBeUndefined();
  });

  it('della: probabilities inside (0, 1), unless the density is 0 or 1', () => {
    const one = (density: number, epsilon: number) =>
      check('della', { normalize: 1 }, [{ weight: 1, density, epsilon }])?.error;
    expect(one(0.5, 0.15)).toBeUndefined();
    expect(one(0.9, 0.15)).toMatch(/from 0\.75 to 1\.05; .* inside \(0, 1\)/);
    expect(check('della', {}, [{ weight: 1, density: 0.9, epsilon: 0.15 }])).toMatchObject({
      fix: 'Choose an epsilon below 0.1.',
    });
    expect(one(0.1, 0.1)).toMatch(/inside \(0, 1\)/);
    expect([one(1, 0.15), one(0, 0.15)]).toEqual([undefined, undefined]);
  });

  it('nuslerp: weights that sum to 0 are a warning', () => {
    expect(check('nuslerp', {}, [{ weight: 1 }, { weight: -1 }])?.warning).toMatch(/t is 0.5/);
  });
});
