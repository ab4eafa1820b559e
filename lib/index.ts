/// <reference types="node" preserve="true" />

// First: what follows has methods of these names.
import './disposal.js';

export { type Checkpoint, type Config, type ModelSource, openCheckpoint } from './checkpoint/checkpoint.js';
export type { DiskSpace } from './checkpoint/free-space.js';
export type { ShardIndex } from './checkpoint/index-file.js';
export type { ReadMode } from './checkpoint/input-file.js';
export type { WrittenFile } from './checkpoint/output-writer.js';
export type { Progress, ProgressListener } from './checkpoint/progress.js';
export type { SkippedFile } from './checkpoint/sidecars.js';
export type { TensorInfo } from './checkpoint/tensor.js';
export { type VerifyResult, verify } from './checkpoint/verify.js';
export type { WeightFile } from './checkpoint/weight-file.js';
export { type ErrorCode, type ErrorContext, WisemergeError } from './errors.js';
export type { SetKind, SetRole, SetSource } from './eval/data/evaluation-set.js';
export { type ForwardOptions, type ForwardResult, forward } from './eval/forward.js';
export type { Candidate, Evaluate, Score } from './eval/function-evaluator.js';
export {
  type CachedFeatures,
  type CachedFeaturesOptions,
  cachedFeatures,
  type FeatureProgress,
  type ImageEncoder,
} from './eval/images/feature-cache.js';
export {
  type CorruptImage,
  type ImageBatch,
  ImageLoader,
  type ImageLoaderOptions,
} from './eval/images/image-loader.js';
export { type ImageSet, type ImageSource, openImageSet } from './eval/images/image-set.js';
export type { ImageTransform } from './eval/images/transform.js';
export { readImageTransform } from './eval/images/transform-file.js';
export type { Metrics } from './eval/metrics.js';
export type { CandidateTensor } from './eval/model-pair.js';
export { makeZeroshotHead, type ZeroshotHead, type ZeroshotHeadOptions } from './eval/text/zeroshot-head.js';
export { type ExplainedGroup, type Explanation, explainMerge } from './merge/config/explain.js';
export { type OpenedMerge, openMergeFile } from './merge/config/open.js';
export type { ConfigProblem } from './merge/config/problems.js';
export type {
  ResolvedInput,
  ResolvedMerge,
  ResolvedTensor,
  TensorReference,
} from './merge/config/resolved.js';
export { type DiffOptions, type DiffResult, diff, type TensorDiff } from './merge/diff.js';
export { type LoraAdapter, type LoraAddend, openLoraAdapter } from './merge/lora/adapter.js';
export { type ExtractLoraRunOptions, extractLora } from './merge/lora/extract.js';
export type { ExtractLoraOptions } from './merge/lora/extract-options.js';
export type { ExtractedTensor, ExtractLoraResult, LeftOutTensor } from './merge/lora/extract-report.js';
export type { LeftReason } from './merge/lora/targets.js';
export type { TimeEstimate } from './merge/many/estimate.js';
export {
  type DocumentResult,
  type MergeFileResult,
  type MergeFileRunOptions,
  mergeFile,
} from './merge/many/merge-file.js';
export type { MergeFileOptions, PlanFileOptions } from './merge/many/options.js';
export { type DocumentPlan, type MergeFilePlan, planMergeFile } from './merge/many/plan-file.js';
export type { Rereading } from './merge/many/sweeps.js';
export { type MergeOutput, type MergeResult, merge, type RunOptions } from './merge/merge.js';
export type { MergeOptions } from './merge/options.js';
export { type MergePlan, type PlannedInput, planMerge } from './merge/plan.js';
export type { Problem } from './merge/problems.js';
export { assembleMoe, type MoeResult, type MoeRunOptions } from './moe/assemble.js';
export type { MoeOptions } from './moe/options.js';
export { type MoePlan, planMoe } from './moe/plan.js';
export { type DeviceReport, type DTypeName, devices } from './native.js';
export type { Precision } from './precision.js';
export { writeReport } from './report/report.js';
export type { Analysis, Firmness, SampleAnalysis, SetAnalysis } from './selection/analysis.js';
export type { ChordTest } from './selection/chord.js';
export type { CrossValidation } from './selection/cross-validation.js';
export type { Selection } from './selection/rules.js';
export type { Comparison, Verdict } from './selection/verdict.js';
export type { Interval } from './statistics/intervals.js';
export type { McNemar } from './statistics/mcnemar.js';
export { type PickOptions, pick } from './sweep/pick.js';
export {
  type PickRecordsOptions,
  pickRecords,
  type RecordedSet,
  type RecordsPick,
} from './sweep/pick-records.js';
export type { SetMetrics, SweepResult, SweptSet } from './sweep/result.js';
export {
  type SoupComparison,
  type SoupOptions,
  type SoupProgress,
  type SoupResult,
  type SoupSet,
  soup,
} from './sweep/soup.js';
export type { EvaluateSoup, SoupCandidate } from './sweep/soup-evaluator.js';
export type { SoupConfig } from './sweep/soup-options.js';
export { type SweepOptions, type SweepProgress, sweep } from './sweep/sweep.js';
export type { SweepConfig } from './sweep/sweep-options.js';
export { type WatchedCheckpoint, type WatchOptions, watchSweep } from './sweep/watch.js';
export type { EpochRecord, Measured } from './train/epoch-directory.js';
export {
  type FinetuneProgress,
  type FinetuneResult,
  type FinetuneRunOptions,
  finetune,
} from './train/finetune.js';
export type { FinetuneOptions, Training, TrainingSet } from './train/options.js';
export {
  openTrainingFeatures,
  type TrainingFeatures,
  type TrainingFeaturesOptions,
} from './train/training-features.js';
export {
  openTrainingImages,
  type TrainingImages,
  type TrainingImagesOptions,
} from './train/training-images.js';
export { version } from './version.js';
