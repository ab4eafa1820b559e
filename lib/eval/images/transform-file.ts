import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { checkPath } from '../../call-options.js';
import { ioError, WisemergeError } from '../../errors.js';
import { startPulse } from '../../files/pool-pulse.js';
import { readTextFile } from '../../files/read-whole.js';
import { huggingFaceTransform } from './huggingface-transform.js';
import { isObject, JsonFields } from './json-fields.js';
import { openClipTransform, timmTransform } from './torchvision-transform.js';
import { type ImageTransform, outputSize } from './transform.js';

/** Models may be given by their weights, whose transform lies beside them. */
const weights = /\.(safetensors|bin|pt|pth)(\.index\.json)?$/i;
const usualNames = ['preprocessor_config.json', 'open_clip_config.json', 'config.json'];

/**
 * The transform that a model's own pipeline applies when it evaluates, from transformers'
 * `preprocessor_config.json`, open_clip's `open_clip_config.json` or timm's `config.json`: a file, a directory
 * that has one of them (the first of these), or a file of weights in such a directory.
 *
 * Throws ERR_USAGE, ERR_IO, or ERR_CONFIG naming what is not supported.
 */
export async function readImageTransform(given: string): Promise<ImageTransform> {
  checkPath(given, 'path');
  using _pulse = startPulse();
  const path = weights.test(given) && !(await isDirectory(given)) ? dirname(given) : given;
  const candidates = (await isDirectory(path)) ? usualNames.map((name) => join(path, name)) : [path];
  for (const file of candidates) {
    const config = await readJson(file, candidates.length > 1);
    const transform = config && transformOf(config);
    if (transform) return checked(transform, file);
  }
  throw new WisemergeError('ERR_CONFIG', `${path} does not say how images are prepared`, {
    file: path,
    hint: 'Give a preprocessor_config.json (transformers), open_clip_config.json, or config.json with pretrained_cfg (timm).',
  });
}

function transformOf(config: JsonFields): ImageTransform | undefined {
  const has = (key: string): boolean => config.get(key) !== undefined;
  if (has('preprocess_cfg')) return openClipTransform(config);
  if (has('pretrained_cfg')) return timmTransform(config);
  const processor = has('image_processor_type') || has('feature_extractor_type') || has('image_mean');
  return processor ? huggingFaceTransform(config) : undefined;
}

function checked(transform: ImageTransform, file: string): ImageTransform {
  try {
    outputSize(transform);
    return transform;
  } catch (error) {
    if (!(error instanceof WisemergeError)) throw error;
    throw new WisemergeError('ERR_CONFIG', `${file}: ${error.message}`, {
      file,
      hint: 'Set a fixed size or a centre crop in it.',
      cause: error,
    });
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    throw ioError(error, 'read', path);
  }
}

async function readJson(file: string, mayBeAbsent: boolean): Promise<JsonFields | undefined> {
  let text: string;
  try {
    text = await readTextFile(file);
  } catch (error) {
    if (mayBeAbsent && (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw ioError(error, 'read', file);
  }
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value)) return new JsonFields(file, value);
  } catch {
    // Said below.
  }
  throw new WisemergeError('ERR_CONFIG', `${file} is not a JSON object`, {
    file,
    hint: 'Copy the file again.',
  });
}
