import { formatModelReference, modelKey } from '../merge/config/model-reference.js';
import type { Problems } from '../merge/config/problems.js';
import { type ExpertConfig, type GateMode, isPrompted } from './config.js';

/** Whether an expert has the prompts that a gate mode needs; `routed`: it is one of those that are chosen from. */
export function checkPrompts(
  { place, positive, negative }: ExpertConfig,
  gateMode: GateMode,
  routed: boolean,
  problems: Problems,
): void {
  const wanted = isPrompted(gateMode);
  if (wanted && routed && positive.length === 0) {
    problems.add(
      place,
      `this expert has no positive_prompts, which gate_mode ${gateMode} makes its router of`,
      'Add texts that it is to answer, or use gate_mode random.',
    );
  } else if (positive.length === 0 && negative.length > 0 && wanted) {
    problems.add(place, 'there are negative_prompts alone', 'Add positive_prompts.');
  } else if (!wanted && positive.length + negative.length > 0) {
    problems.warn(place, `prompts have no effect with gate_mode ${gateMode}`);
  }
}

/** Whether experts differ in what chooses them and in what they are, where they are not to be trained first. */
export function checkDifferences(
  experts: readonly ExpertConfig[],
  gateMode: GateMode,
  problems: Problems,
): void {
  const [first, second] = experts;
  if (!second || !isPrompted(gateMode)) return;
  const alike = (what: (expert: ExpertConfig) => string): boolean =>
    experts.every((one) => what(one) === what(first!));
  if (first!.positive.length > 0 && alike(({ positive, negative }) => JSON.stringify([positive, negative]))) {
    problems.add(
      second.place,
      'prompts are identical for all experts, so that routers cannot tell them apart',
      'Give each expert prompts of what it is to answer, or use gate_mode random.',
    );
  }
  const model = formatModelReference(first!.model);
  if (
    alike((one) => JSON.stringify([modelKey(one.model), one.scale])) &&
    experts.every((one) => one.noise === 0)
  ) {
    problems.warn(
      second.place,
      `all experts are ${model}: the mixture answers as that does, with more memory, unless it is trained`,
    );
  }
}
