import { beginCall } from '../call-options.js';
import { openCheckpoint } from '../checkpoint/checkpoint.js';
import { WisemergeError } from '../errors.js';
import { checkClassNames } from '../eval/images/class-names.js';
import { ImageLoader } from '../eval/images/image-loader.js';
import { type ImageSet, type ImageSource, openImageSet } from '../eval/images/image-set.js';
import { count, imageSource } from '../eval/images/option-checks.js';
import { type ImageTransform, outputSize } from '../eval/images/transform.js';
import { readImageTransform } from '../eval/images/transform-file.js';
import { checkOptions, text } from '../merge/option-checks.js';
import { ownCopy } from '../own-copy.js';
import type { TrainingSet } from './options.js';
import { findTrainedNetwork } from './trained-network.js';

export interface TrainingImagesOptions extends ImageSource {
  /** The model to train, whose preprocessor_config.json (or open_clip's or timm's) says how images are prepared. */
  readonly zeroshot: string;
  /** Name of the head's weight, where `finetune` is told one. */
  readonly head?: string;
  /** Threads that decode. Default: as many as CPUs, 8 at most. */
  readonly threads?: number;
  readonly signal?: AbortSignal;
}

const checks = { ...imageSource, zeroshot: text, head: text, threads: count };

/** Images decoded once, as a set to train on. */
export interface TrainingImages extends TrainingSet {
  readonly images: string;
  readonly classNames?: readonly string[];
  close(): Promise<void>;
}

/**
 * Opens labelled images as `pixel_values` [N, 3, height, width] in F32, prepared as for evaluation: resized, cropped and
 * normalised, not augmented. They are decoded when they are read, ahead of what is asked for; `finetune` reads every
 * set once and holds it in memory, 12 × height × width bytes for each image.
 *
 * Throws ERR_USAGE naming the option, as `openImageSet`, `readImageTransform` and `checkClassNames`, as `finetune` for a network that it does not train, and
 * ERR_OUT_OF_MEMORY where they will not fit; reading as `ImageLoader.next`.
 */
export async function openTrainingImages(options: TrainingImagesOptions): Promise<TrainingImages> {
  using _call = beginCall(options);
  const { signal, ...given } = ownCopy(options);
  checkOptions(given, checks, ['zeroshot', 'images']);
  const { zeroshot, head, threads, ...source } = given;
  const transform = await readImageTransform(zeroshot);
  const set = await openImageSet(source);
  const { height, width } = outputSize(transform);
  if (set.classNames) {
    await using checkpoint = await openCheckpoint(zeroshot, signal ? { signal } : {});
    const given = head === undefined ? {} : { head };
    const { classes } = await findTrainedNetwork(checkpoint, [3, height, width], given);
    checkClassNames([{ images: set }], classes);
  }
  const [samples, dimension] = [set.files.length, 3 * height * width];
  const [bytes, free] = [4 * samples * dimension, process.availableMemory()];
  if (bytes > free) {
    throw new WisemergeError(
      'ERR_OUT_OF_MEMORY',
      `${samples} images of ${source.images} take ${bytes} bytes when they are decoded; ${free} are free`,
      {
        file: source.images,
        hint: 'Train on fewer images or on a machine with more memory, or train the head on features of the encoder.',
      },
    );
  }
  const reader = new ImageReader(set, transform, { threads, signal });
  return {
    ...{ samples, dimension, shape: [3, height, width], featureDtype: 'F32', labels: set.labels },
    images: source.images,
    ...(set.classNames && { classNames: set.classNames }),
    readFeatures: (first, count, into) => reader.read(first, count, into),
    close: () => reader.close(),
  };
}

/** Decoded images in any order; those that follow one another are decoded ahead. */
class ImageReader {
  readonly #set: ImageSet;
  readonly #transform: ImageTransform;
  readonly #options: { readonly threads: number | undefined; readonly signal: AbortSignal | undefined };
  #loader: ImageLoader | undefined;
  /** The image that the loader gives next. */
  #at = 0;

  constructor(
    set: ImageSet,
    transform: ImageTransform,
    options: { readonly threads: number | undefined; readonly signal: AbortSignal | undefined },
  ) {
    this.#set = set;
    this.#transform = transform;
    this.#options = options;
  }

  /** Images `first` to `first + count`, f32, little-endian. */
  async read(first: number, count: number, into: Uint8Array): Promise<void> {
    const { files } = this.#set;
    if (!this.#loader || first !== this.#at) {
      await this.close();
      const { threads, signal } = this.#options;
      this.#loader = new ImageLoader({ ...this.#set, files: files.slice(first) }, this.#transform, {
        batch: 1,
        ...(threads !== undefined && { threads }),
        ...(signal && { signal }),
      });
      this.#at = first;
    }
    const { height, width } = this.#loader;
    const image = new Float32Array(3 * height * width);
    const bytes = new Uint8Array(image.buffer);
    for (let i = 0; i < count; i++) {
      await this.#loader.next(image);
      into.set(bytes, i * bytes.length);
    }
    this.#at = first + count;
    if (this.#at === files.length) await this.close();
  }

  async close(): Promise<void> {
    const loader = this.#loader;
    this.#loader = undefined;
    await loader?.close();
  }
}
