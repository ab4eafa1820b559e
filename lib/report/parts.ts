import { escapeText } from './svg.js';

/** Numbers as the page writes them. */
export const points = (share: number): string =>
  `${share >= 0 ? '+' : '−'}${Math.abs(100 * share).toFixed(2)}`;
export const short = (alpha: number): string => String(Number(alpha.toFixed(4)));

export function section(title: string, ...content: string[]): string {
  return `<section><h2>${escapeText(title)}</h2>\n${content.join('\n')}</section>`;
}

export function paragraph(text: string, className?: string): string {
  return `<p${className ? ` class="${className}"` : ''}>${escapeText(text)}</p>`;
}

export interface GridOptions {
  /** The row of the chosen alpha. */
  readonly marked?: number;
  /** Columns of text, to the left of those of numbers. Default 1. */
  readonly names?: 1 | 2;
}

/** A table that scrolls sideways where it is wider than the page. */
export function grid(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  { marked = -1, names = 1 }: GridOptions = {},
): string {
  const cells = (row: readonly string[], tag: string) =>
    row.map((cell) => `<${tag}>${escapeText(cell)}</${tag}>`).join('');
  const body = rows.map((row, i) => `<tr${i === marked ? ' class="chosen"' : ''}>${cells(row, 'td')}</tr>`);
  const header = head.some((cell) => cell !== '') ? `<thead><tr>${cells(head, 'th')}</tr></thead>` : '';
  return `<div class="scroll" tabindex="0"><table class="names${names}">${header}<tbody>${body.join('')}</tbody></table></div>`;
}

/** A drawing that keeps its size, and scrolls where it is wider than the page. */
export function wideFigure(svg: string): string {
  return `<figure class="scroll wide" tabindex="0">${svg}</figure>`;
}
