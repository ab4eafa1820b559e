import type { Config } from '../../checkpoint/checkpoint.js';
import { dtypeInfo, formatShape, sameShape } from '../../checkpoint/tensor.js';
import { tiedSource } from '../tied.js';
import { vocabularyAxis } from '../vocabulary-tensors.js';
import { countLayers, splitLayer } from './layer-names.js';
import type { HeaderTensor, ModelHeaders, OutputContext, OutputTensor } from './output-tensors.js';

/** A tensor and the model that has it. */
interface Owned {
  readonly model: ModelHeaders;
  readonly tensor: HeaderTensor;
}

/**
 * The output has the donor's configuration, so that its tensors must have the shapes of those that the donor has in
 * their place; layers that the donor lacks must have those of each other. Models whose layers differ among themselves,
 * or whose configuration has sizes by layer, are free to.
 */
export function checkOutputShapes(outputs: readonly OutputTensor[], context: OutputContext): void {
  const { config, donor, headers, name, problems } = context;
  const shapes = new PlaceShapes(donor);
  const reported = new Set<string>();
  for (const output of outputs) {
    const source = output.slice.sources.find((_, i) => output.inputs[i]);
    const tensor = output.inputs.find((input) => input);
    // Masks and other buffers of integers may be as long as they like: they are no weights.
    if (!source || !tensor || dtypeInfo(tensor.dtype).kind !== 'float') continue;
    const model = headers(source);
    if (model === donor) continue;
    const expected = shapes.expected(output.name, { model, tensor });
    if (!expected || expected.model === model) continue;
    const axis = vocabularyAxis(output.name, tensor.shape);
    if (sameShape(tensor.shape, expected.tensor.shape, config.tokenizer && axis)) continue;
    const key = `${placeOf(output.name)}\n${model.path}`;
    // Once for all layers.
    if (reported.has(key)) continue;
    reported.add(key);
    const why = expected.model === donor ? ', which gives configuration and tokenizer' : '';
    problems.addModelAt(
      'ERR_SHAPE_MISMATCH',
      source.place,
      output.name,
      `"${output.name}": shape ${formatShape(tensor.shape)}, that of "${tensor.name}" in ${name(model)}; "${expected.tensor.name}" is ${formatShape(expected.tensor.shape)} in ${name(expected.model)}${why}`,
      axis !== undefined && sameShape(tensor.shape, expected.tensor.shape, axis)
        ? 'The vocabularies differ: add tokenizer_source: union (or base), which gives every model the same rows.'
        : 'Take models of one architecture and size, or the one that the output fits for base_model.',
    );
  }
}

/** Looks up which shape the place of a tensor wants. */
class PlaceShapes {
  readonly #donor: ModelHeaders;
  /** Counts of layers for whose stacks the donor's configuration has sizes by layer. */
  readonly #varying: ReadonlySet<number>;
  readonly #counts: ReadonlyMap<string, number>;
  readonly #layers = new Map<ModelHeaders, ReadonlyMap<string, HeaderTensor | undefined>>();
  /** Of layers that the donor lacks, the first of each place. */
  readonly #first = new Map<string, Owned>();

  constructor(donor: ModelHeaders) {
    this.#donor = donor;
    this.#varying = new Set(listLengths(donor.config));
    this.#counts = countLayers(donor.tensors.keys());
  }

  /** Undefined where any shape will do. */
  expected(name: string, origin: Owned): Owned | undefined {
    const donor = this.#donor;
    const layer = splitLayer(name);
    if (!layer) {
      const tensor =
        donor.tensors.get(name) ?? tiedSource({ name, shape: origin.tensor.shape }, donor, { anyRows: true });
      // Without a configuration, the donor says nothing of what others have outside layers.
      return tensor && donor.config && { model: donor, tensor };
    }
    const count = this.#counts.get(layer.stack);
    if (count !== undefined && this.#varying.has(count)) return undefined;
    const place = placeOf(name);
    if (!this.#layersOf(origin.model).get(placeOf(origin.tensor.name))) return undefined;
    const own = this.#layersOf(donor);
    if (own.has(place)) {
      const tensor = own.get(place);
      return tensor && { model: donor, tensor };
    }
    const first = this.#first.get(place) ?? origin;
    this.#first.set(place, first);
    return first;
  }

  /** The first tensor of every place in layers; undefined where those of other layers have other shapes. */
  #layersOf(model: ModelHeaders): ReadonlyMap<string, HeaderTensor | undefined> {
    const known = this.#layers.get(model);
    if (known) return known;
    const layers = new Map<string, HeaderTensor | undefined>();
    for (const tensor of model.tensors.values()) {
      if (!splitLayer(tensor.name)) continue;
      const place = placeOf(tensor.name);
      const first = layers.has(place) ? layers.get(place) : tensor;
      layers.set(place, first && sameShape(first.shape, tensor.shape) ? first : undefined);
    }
    this.#layers.set(model, layers);
    return layers;
  }
}

/** The name of a tensor without the index of its layer. */
export function placeOf(name: string): string {
  const layer = splitLayer(name);
  return layer ? `${layer.stack}.*${layer.rest}` : name;
}

/** Lengths of lists of numbers and objects in a configuration and its parts: sizes by layer are among them. */
function listLengths(config: Config | undefined): number[] {
  const parts = [config, ...Object.values(config ?? {})].filter(
    (part) => typeof part === 'object' && part !== null && !Array.isArray(part),
  );
  return parts
    .flatMap((part) => Object.values(part as Config))
    .filter((value): value is unknown[] => Array.isArray(value))
    .filter((list) => list.every((entry) => typeof entry === 'number' || typeof entry === 'object'))
    .map(({ length }) => length);
}
