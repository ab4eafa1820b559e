import { expect, test } from 'vitest';
import { formatDistance, plotDivergence } from '../../lib/report/heat-map.js';
import type { Divergence } from '../../lib/sweep/divergence.js';

const layers: Divergence = {
  rows: [0, 1, 2].map((layer) => ({ stack: 'model.layers', layer })),
  modules: ['attn.q_proj', 'mlp.up_proj'],
  cells: [0, 1, 2].flatMap((row) =>
    [0, 1].map((module) => ({
      row,
      module,
      tensors: 1,
      parameters: 64,
      relativeL2: (1 + row + 3 * module) / 100,
      cosine: 1 - (row + module) / 1000,
    })),
  ),
  others: [{ name: 'lm_head.weight', parameters: 128, relativeL2: null, cosine: null }],
  total: { parameters: 512, relativeL2: 0.03, cosine: 0.999 },
};

const opacities = (svg: string) =>
  [...svg.matchAll(/rx="2" fill="#0072b2" fill-opacity="([\d.]+)"/g)].map((match) => Number(match[1]));

test('a cell per module of a layer, darker the farther apart, with its figures in a title', () => {
  const svg = plotDivergence(layers);
  const cells = opacities(svg);
  expect(cells).toHaveLength(7);
  const byDistance = layers.cells.map(({ relativeL2 }, i) => [relativeL2!, cells[i]!] as const);
  byDistance.sort((a, b) => a[0] - b[0]);
  const shades = byDistance.map(([, shade]) => shade);
  expect(shades).toEqual([...shades].sort((a, b) => a - b));
  expect(new Set(shades).size).toBe(6);
  expect(svg).toContain('model.layers 2 mlp.up_proj: distance 0.06000, cosine 0.997000, 64 parameters');
  expect(svg).toContain('lm_head.weight: distance from zero, cosine undefined');
  expect(cells[6]).toBe(0);
});

test('distances of different magnitudes are told apart', () => {
  const wide = layers.cells.map((cell, i) => ({ ...cell, relativeL2: 10 ** (i - 5) }));
  const shades = opacities(plotDivergence({ ...layers, cells: wide })).slice(0, 6);
  for (let i = 1; i < 6; i++) expect(shades[i]! - shades[i - 1]!).toBeCloseTo(shades[1]! - shades[0]!, 2);
});

test('all of it lies inside the drawing, with or without layers, and equal models have no distance', () => {
  const names = ['a', `b.${'long'.repeat(20)}`, 'c'];
  const others = names.map((name) => ({ name, parameters: 1, relativeL2: 0, cosine: 1 }));
  const flat = { rows: [], modules: [], cells: [], others, total: layers.total };
  for (const divergence of [layers, flat, { ...flat, others: [] }]) {
    const svg = plotDivergence(divergence);
    expect(svg).not.toMatch(/NaN|undefined(?! *,)|Infinity/);
    const [width, height] = svg
      .match(/viewBox="0 0 (\d+) (\d+)"/)!
      .slice(1)
      .map(Number);
    for (const [, x, y, w, h] of svg.matchAll(
      /<rect x="([\d.]+)" y="([\d.]+)" width="(\d+)" height="(\d+)"/g,
    )) {
      expect(Number(x) + Number(w)).toBeLessThanOrEqual(width!);
      expect(Number(y) + Number(h)).toBeLessThanOrEqual(height!);
    }
  }
  expect(new Set(opacities(plotDivergence(flat)))).toEqual(new Set([0]));
});

test.each([
  [null, '–'],
  [0, '0'],
  [0.01234, '0.012'],
  [0.00001234, '1.2e-5'],
  [12.34, '12'],
  [123456, '1.2e+5'],
])('%s is written %s', (distance, text) => {
  expect(formatDistance(distance)).toBe(text);
});
