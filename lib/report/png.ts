import { fontFamily } from './svg.js';

/** How the PNGs of a report came out. */
export type PngState =
  | 'written'
  /** No font is installed, so that there are no letters in them. */
  | 'without-text'
  /** The renderer has no binary for this platform. */
  | 'unavailable';

/** Pixels per unit of a drawing: sharp on paper and on dense screens. */
const zoom = 2;

/** Draws SVGs as PNGs, twice their size, with the fonts of the system. `images` is empty where that is unavailable. */
export async function renderPngs(
  drawings: ReadonlyMap<string, string>,
): Promise<{ images: Map<string, Uint8Array>; state: PngState }> {
  // Loaded here: its binary is an optional dependency, which some platforms lack.
  const resvg = await import('@resvg/resvg-js').catch(() => undefined);
  if (!resvg) return { images: new Map(), state: 'unavailable' };
  const images = new Map<string, Uint8Array>();
  for (const [name, svg] of drawings) {
    const image = await resvg.renderAsync(svg, { fitTo: { mode: 'zoom', value: zoom } });
    images.set(name.replace(/\.svg$/, '.png'), image.asPng());
  }
  const letter = `<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><text y="15" font-family="${fontFamily}">m</text></svg>`;
  const state = new resvg.Resvg(letter).getBBox() ? 'written' : 'without-text';
  return { images, state };
}
