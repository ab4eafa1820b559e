import { pngName } from '../sweep/sweep-directory.js';

/** How the PNGs of a report came out. */
export type PngState =
  | 'written'
  /** No font is installed, so that there are no letters in them. */
  | 'without-text'
  /** The renderer has no binary for this platform. */
  | 'unavailable';

/** Pixels per unit of a drawing: sharp on paper and on dense screens. */
const zoom = 2;

/** Most systems have one of these. */
const families = [
  'Arial',
  'Helvetica Neue',
  'Liberation Sans',
  'Segoe UI',
  'Roboto',
  'Noto Sans',
  'DejaVu Sans',
  'Open Sans',
  'Ubuntu',
];

/** Draws SVGs as PNGs, twice their size, with the fonts of the system. `images` is empty where that is unavailable. */
export async function renderPngs(
  drawings: ReadonlyMap<string, string>,
): Promise<{ images: Map<string, Uint8Array>; state: PngState }> {
  // Loaded here: its binary is an optional dependency, which some platforms lack.
  const resvg = await import('@resvg/resvg-js').catch(() => undefined);
  if (!resvg) return { images: new Map(), state: 'unavailable' };
  const probe = probeFonts((await resvg.renderAsync(probeDrawing())).pixels);
  const font = probe.family && { defaultFontFamily: probe.family, sansSerifFamily: probe.family };
  const images = new Map<string, Uint8Array>();
  for (const [name, svg] of drawings) {
    const fitTo = { mode: 'zoom', value: zoom } as const;
    const image = await resvg.renderAsync(svg, { fitTo, ...(font && { font }) });
    images.set(pngName(name), image.asPng());
  }
  return { images, state: probe.text ? 'written' : 'without-text' };
}

// The renderer takes any font at all, a serif or an ornamental one, for a family that is not installed, and does
// not tell which are. So one word is drawn in every family, below the same word in one that cannot exist.
const [rowWidth, rowHeight] = [160, 40];

function probeDrawing(): string {
  const rows = ['No such family 1f3b', ...families].map(
    (family, i) =>
      `<text x="4" y="${i * rowHeight + 28}" font-size="24" font-family="${family}">Right, 7</text>`,
  );
  const height = rows.length * rowHeight;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${rowWidth}" height="${height}">${rows.join('')}</svg>`;
}

/** The first family whose word looks different from that of the family that is not there, and whether any has ink. */
export function probeFonts(pixels: Buffer): { readonly family?: string; readonly text: boolean } {
  const bytes = 4 * rowWidth * rowHeight;
  const row = (i: number) => pixels.subarray(i * bytes, (i + 1) * bytes);
  const missing = row(0);
  const found = families.find((_, i) => !row(i + 1).equals(missing));
  return { ...(found && { family: found }), text: pixels.some((byte) => byte !== 0) };
}
