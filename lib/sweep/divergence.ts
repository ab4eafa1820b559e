import type { DiffResult, TensorDiff } from '../merge/diff.js';
import { layerOf } from '../selection/layer-groups.js';

/** How far the tensors of one module of one layer are apart. */
export interface DivergenceCell {
  /** Index in `rows`. */
  readonly row: number;
  /** Index in `modules`. */
  readonly module: number;
  readonly tensors: number;
  readonly parameters: number;
  /** ‖θ₁ − θ₀‖ / ‖θ₀‖ over the cell's weights; null where ‖θ₀‖ is 0 and they differ. */
  readonly relativeL2: number | null;
  /** Cosine of the angle between θ₀ and θ₁; null where either is zero. */
  readonly cosine: number | null;
}

/** The distance between two checkpoints by layer and module. */
export interface Divergence {
  /** Layers in the order of the first checkpoint: the stack they are in (`model.layers`) and their number. */
  readonly rows: readonly { readonly stack: string; readonly layer: number }[];
  /** Names of tensors inside a layer, without `.weight` and `.bias`, and with `*` for further numbers (experts). */
  readonly modules: readonly string[];
  /** In the order of rows, then modules; layers need not have all modules. */
  readonly cells: readonly DivergenceCell[];
  /** Tensors outside layers: embeddings, norms, heads. */
  readonly others: readonly (Omit<DivergenceCell, 'row' | 'module' | 'tensors'> & {
    readonly name: string;
  })[];
  /** Over all float tensors that both checkpoints have. */
  readonly total: Omit<DivergenceCell, 'row' | 'module' | 'tensors'>;
}

/**
 * Groups the tensors of a comparison by layer and module. The first whole number in a name is its layer, as in
 * `layers.3.`, `h.3.`, `blocks.3.` or `layer1.0.`; the names of frameworks need not be known for that.
 */
export function groupByLayer({ tensors, total }: Pick<DiffResult, 'tensors' | 'total'>): Divergence {
  const rows = new Table<{ stack: string; layer: number }>();
  const modules = new Table<string>();
  const sums = new Map<string, Sums>();
  const others: Divergence['others'][number][] = [];
  for (const tensor of tensors) {
    const place = placeOf(tensor.name);
    if (!place) {
      others.push({ name: tensor.name, ...figuresOf(tensor) });
      continue;
    }
    const { stack, layer } = place;
    const row = rows.index(`${stack} ${layer}`, { stack, layer });
    const module = modules.index(place.module, place.module);
    const cell = sums.get(`${row} ${module}`) ?? new Sums(row, module);
    cell.add(tensor);
    sums.set(`${row} ${module}`, cell);
  }
  const cells = [...sums.values()].sort((a, b) => a.row - b.row || a.module - b.module);
  return {
    rows: rows.items,
    modules: modules.items,
    cells: cells.map((cell) => cell.figures()),
    others,
    total: figuresOf(total),
  };
}

/** Undefined for a tensor outside layers. */
function placeOf(name: string): { stack: string; layer: number; module: string } | undefined {
  const place = layerOf(name);
  if (!place) return undefined;
  const { stack, layer } = place;
  const inside = place.inside.map((part) => (/^\d+$/.test(part) ? '*' : part));
  // What remains of `layers.0.weight` is the parameter's own name.
  if (inside.length > 1 && (inside.at(-1) === 'weight' || inside.at(-1) === 'bias')) inside.pop();
  return { stack, layer, module: inside.join('.') };
}

function figuresOf({
  parameters,
  relativeL2,
  cosine,
}: Pick<TensorDiff, 'parameters' | 'relativeL2' | 'cosine'>) {
  return { parameters, relativeL2, cosine };
}

/** Items in the order of their first mention. */
class Table<Item> {
  readonly items: Item[] = [];
  readonly #indices = new Map<string, number>();

  index(key: string, item: Item): number {
    const found = this.#indices.get(key);
    if (found !== undefined) return found;
    this.#indices.set(key, this.items.length);
    return this.items.push(item) - 1;
  }
}

/** Norms add up in squares, so the figures of tensors give those of them together. */
class Sums {
  #tensors = 0;
  #parameters = 0;
  #xx = 0;
  #yy = 0;
  #xy = 0;
  #dd = 0;
  readonly row: number;
  readonly module: number;

  constructor(row: number, module: number) {
    this.row = row;
    this.module = module;
  }

  add({ parameters, norms: [x, y], relativeL2, cosine }: TensorDiff): void {
    this.#tensors += 1;
    this.#parameters += parameters;
    this.#xx += x * x;
    this.#yy += y * y;
    this.#xy += (cosine ?? 0) * x * y;
    // Without ‖x‖ the distance is ‖y‖.
    this.#dd += relativeL2 === null ? y * y : (relativeL2 * x) ** 2;
  }

  figures(): DivergenceCell {
    const [x, y, distance] = [Math.sqrt(this.#xx), Math.sqrt(this.#yy), Math.sqrt(this.#dd)];
    return {
      row: this.row,
      module: this.module,
      tensors: this.#tensors,
      parameters: this.#parameters,
      relativeL2: x > 0 ? distance / x : distance === 0 ? 0 : null,
      cosine: x > 0 && y > 0 ? Math.max(-1, Math.min(1, this.#xy / (x * y))) : null,
    };
  }
}
