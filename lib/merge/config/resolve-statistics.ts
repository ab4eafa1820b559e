import { formatShape, sameShape } from '../../checkpoint/tensor.js';
import type { MethodSpec } from '../methods/spec.js';
import type { SourceConfig } from './config.js';
import type { ModelReference } from './model-reference.js';
import type { HeaderTensor, ModelHeaders } from './output-tensors.js';
import type { Problems } from './problems.js';
import type { ResolvedInput } from './resolved.js';

/**
 * The statistics that go with each input of one tensor: of all of them, or of none where the method averages
 * such tensors. Undefined after a problem.
 */
export function resolveStatistics(
  { name, statistics: spec }: MethodSpec,
  inputs: readonly { readonly source: SourceConfig; readonly tensor: HeaderTensor }[],
  context: {
    readonly problems: Problems;
    readonly statisticsOf: (model: ModelReference) => { index: number; headers: ModelHeaders };
  },
): readonly (ResolvedInput['statistics'] | undefined)[] | undefined {
  if (!spec) return inputs.map(() => undefined);
  const found = inputs.map(({ source, tensor }) => {
    const { index, headers } = context.statisticsOf(source.statistics!);
    return { index, headers, tensor, own: headers.tensors.get(tensor.name), shape: spec.shape(tensor.shape) };
  });
  if (spec.missing === 'mean' && !found.some(({ own }) => own)) return inputs.map(() => undefined);
  let fine = true;
  for (const { headers, tensor, own, shape } of found) {
    if (own && shape && sameShape(own.shape, shape)) continue;
    fine = false;
    const has = own ? `has shape ${formatShape(own.shape)} in` : 'is missing in';
    const wanted = shape ? `wants shape ${formatShape(shape)}` : 'has no use for it';
    context.problems.addModel(
      own ? 'ERR_SHAPE_MISMATCH' : 'ERR_MISSING_TENSOR',
      headers.path,
      tensor.name,
      `"${tensor.name}" ${has} ${headers.path}; ${name} ${wanted}`,
      spec.doc,
    );
  }
  return fine ? found.map(({ index, own }) => ({ model: index, tensor: own!.name })) : undefined;
}
