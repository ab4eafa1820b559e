import { parseWeightName } from './weight-names.js';

/** Files of numbers, and the indexes of their shards. */
const extensions =
  /\.(safetensors|bin|pt|pth|ckpt|pkl|npz|npy|gguf|ggml|onnx|onnx_data(_\d+)?|h5|msgpack|tflite|mlmodel|ot)$/i;
const indexes = /\.(safetensors|bin|h5|msgpack)(\.[\w-]+)?\.index(\.[\w-]+)?\.json$/i;
/** Formats that models are converted to, and directories of such conversions. */
const converted = /\.(gguf|ggml|h5|msgpack|tflite|mlmodel|ot)$|model[^/]*\.onnx(_data(_\d+)?)?$/i;
const conversions = /(^|\/)(onnx|openvino|coreml|gguf|tflite|metal|original|[^/]+\.(mlpackage|mlmodelc))\//i;
/** Directly in a model's directory: what libraries call the weights of the whole model. */
const wholeModel =
  /^(pytorch_model|tf_model|flax_model|model|diffusion_(pytorch|flax)_model|open_clip_(pytorch_)?model|openvino_model|consolidated)[.-][^/]*$/;
const trainingFiles = /(^|\/)(optimizer|scheduler|scaler|training_args|rng_state\w*|random_states\w*)\.\w+$/;
const trainingRuns = /(^|\/)(checkpoint-\d+|global_step\d+)\//;

/** Whether a file of this name holds numbers, such as weights. */
export function holdsNumbers(path: string): boolean {
  return extensions.test(path) || indexes.test(path);
}

/**
 * Why a file of numbers in a model's directory, which is not of the model's own weights, does not belong beside merged
 * ones; undefined for one that may go along. `path` is relative to the directory; `pipeline`: that of a diffusers
 * pipeline.
 */
export function whyLeftBehind(path: string, pipeline: boolean): string | undefined {
  if (trainingFiles.test(path) || trainingRuns.test(path)) return 'state of a training run';
  if (converted.test(path) || conversions.test(path) || wholeModel.test(path)) {
    return 'the same model in another format or precision, which is not merged';
  }
  if (pipeline) {
    return 'weights of a component of the pipeline: only the checkpoint beside model_index.json is merged';
  }
  if (/\.pkl$/i.test(path)) return 'a pickle may hold code: add it yourself if you trust it';
  // Beside the output's own they would pass for a model, or be taken for a part of it.
  const atRoot = !path.includes('/');
  if (atRoot && (/\.(safetensors|ckpt)$/i.test(path) || parseWeightName(path) || indexes.test(path))) {
    return 'weights that are not part of what is merged: add them yourself if the model needs them';
  }
  return undefined;
}
