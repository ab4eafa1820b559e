import { join } from 'node:path';
import type { Checkpoint } from '../../checkpoint/checkpoint.js';
import { finishOutput } from '../../checkpoint/finish-output.js';
import { layOutTensors } from '../../checkpoint/layout.js';
import { describeInput, type ManifestInput, type OutputManifest } from '../../checkpoint/manifest.js';
import type { WrittenFile } from '../../checkpoint/output-writer.js';
import { writeTensors } from '../../checkpoint/rewritten-model.js';
import { copySidecars, listSidecars } from '../../checkpoint/sidecars.js';
import type { TensorData } from '../../checkpoint/write-safetensors.js';
import { WisemergeError } from '../../errors.js';

/** Where fine-tuning and sweeps on images look for the head of a CLIP model. */
export const headInModel = 'classifier.weight';

/** `wisemerge.json` of such a model. */
interface HeadManifest extends OutputManifest {
  readonly model: ManifestInput;
  readonly head: HeadFacts;
}

/** What the head was built from. */
interface HeadFacts {
  readonly classNames: readonly string[];
  readonly templates: readonly string[];
  readonly scale: number;
}

/** Throws ERR_USAGE where a model has a head already. */
export function checkHasNoHead({ tensors, path }: Checkpoint): void {
  if (!tensors.has(headInModel)) return;
  throw new WisemergeError('ERR_USAGE', `${path} has a ${headInModel} already`, {
    tensor: headInModel,
    file: path,
    hint: 'Leave inModel (--in-model) out for a head in a file of its own.',
  });
}

/**
 * Writes a copy of a model with a head in it, the last of its tensors, to an empty directory. Throws ERR_IO,
 * ERR_NO_SPACE, or the abort reason.
 */
export async function writeModelWithHead(
  directory: string,
  base: Checkpoint,
  head: Omit<TensorData, 'name'>,
  facts: HeadFacts & Record<'model' | 'command' | 'device', string>,
  signal?: AbortSignal,
): Promise<void> {
  const { dtype, shape, data } = head;
  const layout = layOutTensors(base, [...base.tensors.values(), { name: headInModel, dtype, shape }]);
  const files: WrittenFile[] = [];
  const bytesOf = async (name: string) => (name === headInModel ? data : await base.readTensor(name));
  for (const file of layout.files) {
    files.push(await writeTensors(join(directory, file.name), file, bytesOf, signal));
  }
  await copySidecars(base, (await listSidecars(base)).copied, directory, undefined);
  const { model, command, device, classNames, templates, scale } = facts;
  await finishOutput<HeadManifest>(
    directory,
    layout,
    {},
    {
      method: 'head',
      dtype: null,
      device,
      command,
      model: describeInput(model, base),
      head: { classNames, templates, scale },
      parameters: layout.parameters,
      files,
      nonFinite: {},
    },
  );
}
