import type { Divergence } from '../sweep/divergence.js';
import { formatDistance } from './heat-map.js';
import { grid, paragraph, section, wideFigure } from './parts.js';

/** Where in the network the two checkpoints differ. */
export function divergenceSection({ rows, modules, cells, others, total }: Divergence, plot: string): string {
  const row = (name: string, { parameters, relativeL2, cosine }: Divergence['total']) => [
    name,
    String(parameters),
    formatDistance(relativeL2),
    cosine === null ? '–' : cosine.toFixed(6),
  ];
  const table = grid(
    ['weights', 'parameters', 'relative L2 distance', 'cosine'],
    [
      row('all', total),
      ...cells.map((cell) => {
        const { stack, layer } = rows[cell.row]!;
        return row(`${stack} ${layer} ${modules[cell.module]!}`, cell);
      }),
      ...others.map((other) => row(other.name, other)),
    ],
  );
  return section(
    'Where the models differ',
    paragraph(
      `Over all weights the fine-tuned model is ${formatDistance(total.relativeL2)} of the zero-shot model’s norm away from it, cosine ${total.cosine === null ? '–' : total.cosine.toFixed(6)}.`,
    ),
    wideFigure(plot),
    `<details><summary>The figures</summary>${table}</details>`,
  );
}
