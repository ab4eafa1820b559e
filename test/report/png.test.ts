import { renderAsync } from '@resvg/resvg-js';
import { expect, test } from 'vitest';
import { probeFonts, renderPngs } from '../../lib/report/png.js';

const drawing = (content: string) =>
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 30 20"><title>t</title><rect width="30" height="20" fill="#fff"/>${content}</svg>`;

test('a drawing is rendered at twice its size, in its colours', async () => {
  const { images } = await renderPngs(
    new Map([['a.svg', drawing('<rect width="15" height="20" fill="#b00020"/>')]]),
  );
  const png = Buffer.from(images.get('a.png')!);
  expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([60, 40]);
  const href = `data:image/png;base64,${png.toString('base64')}`;
  const { pixels } = await renderAsync(
    `<svg xmlns="http://www.w3.org/2000/svg" width="60" height="40"><image href="${href}" width="60" height="40"/></svg>`,
  );
  expect(pixels.readUInt32BE(4 * (60 * 20 + 5)) >>> 8).toBe(0xb00020);
  expect(pixels.readUInt32BE(4 * (60 * 20 + 55)) >>> 8).toBe(0xffffff);
});

test('the family of the text is one that is installed; without fonts there is none', () => {
  const row = 4 * 160 * 40;
  const pixels = Buffer.alloc(10 * row);
  expect(probeFonts(pixels)).toEqual({ text: false });
  // The first row shows the renderer's stand-in; a family that looks the same is not there.
  for (let i = 0; i < 10; i++) pixels[i * row + 400] = 200;
  expect(probeFonts(pixels)).toEqual({ text: true });
  pixels[3 * row + 800] = 90;
  expect(probeFonts(pixels)).toEqual({ text: true, family: 'Liberation Sans' });
});
