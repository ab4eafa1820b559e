#include "cpu/head.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "wisemerge/head.h"

namespace wisemerge::cpu {
namespace {

constexpr size_t kMoments = 6;
// Logits that one thread goes through before it looks for more work.
constexpr size_t kGrainLogits = 256u << 10;

WmCode check_logits(const WmLogits& logits, const char* call, WmError* error) {
  if (logits.rows == 0) return WM_OK;
  if (logits.classes == 0 || logits.classes > INT32_MAX || logits.stride < logits.classes) {
    return fail(error, WM_INVALID_ARGUMENT, "%s: %llu classes in rows of %llu", call,
                static_cast<unsigned long long>(logits.classes),
                static_cast<unsigned long long>(logits.stride));
  }
  if (!logits.z0 || !logits.z1 || !logits.labels) {
    return fail(error, WM_INVALID_ARGUMENT, "%s: logits or labels are null", call);
  }
  return check_labels(logits.labels, logits.rows, logits.classes, call, error);
}

// Runs body(block, first, last) for every block of kSampleBlock samples.
WmCode for_each_block(WmContext& context, const WmLogits& logits, WmCancelFlag cancelled,
                      const std::function<void(size_t, size_t, size_t, float*)>& body) {
  const size_t blocks = (logits.rows + kSampleBlock - 1) / kSampleBlock;
  if (blocks == 0) return WM_OK;
  context.scratch.prepare(static_cast<size_t>(context.pool.size()), head_scratch(logits.classes));
  const size_t grain = std::max<size_t>(1, kGrainLogits / (kSampleBlock * logits.classes));
  context.pool.parallel_for(blocks, grain, [&](size_t begin, size_t end) {
    const ThreadScratch::Loan loan(context.scratch);
    for (size_t block = begin; block < end && !raised(cancelled); block++) {
      const size_t first = block * kSampleBlock;
      body(block, first, std::min<size_t>(first + kSampleBlock, logits.rows), loan.data());
    }
  });
  return raised(cancelled) ? WM_CANCELLED : WM_OK;
}

// In ascending order of blocks.
void add_blocks(const std::vector<double>& blocks, size_t width, double* sums) {
  for (size_t at = 0; at < blocks.size(); at += width) {
    for (size_t j = 0; j < width; j++) sums[j] += blocks[at + j];
  }
}

}  // namespace

WmCode check_labels(const int32_t* labels, uint64_t rows, uint64_t classes, const char* call,
                    WmError* error) {
  for (uint64_t i = 0; i < rows; i++) {
    if (labels[i] < 0 || static_cast<uint64_t>(labels[i]) >= classes) {
      return fail(error, WM_INVALID_ARGUMENT, "%s: label %d of sample %llu is outside 0..%llu", call,
                  static_cast<int>(labels[i]), static_cast<unsigned long long>(i),
                  static_cast<unsigned long long>(classes - 1));
    }
  }
  return WM_OK;
}

WmCode check_interval(double from, double to, const char* call, WmError* error) {
  if (std::isfinite(from) && std::isfinite(to) && from <= to) return WM_OK;
  return fail(error, WM_INVALID_ARGUMENT, "%s: from %g to %g is no interval", call, from, to);
}

WmCode run_path(WmContext& context, const WmPath& call, WmCancelFlag cancelled, WmError* error) {
  WmCode code = check_logits(call.logits, "head_path", error);
  if (code == WM_OK) code = check_interval(call.from, call.to, "head_path", error);
  if (code != WM_OK) return code;
  const WmLogits& logits = call.logits;
  return for_each_block(context, logits, cancelled, [&](size_t, size_t first, size_t last, float*) {
    for (size_t i = first; i < last; i++) {
      context.kernels->head_path(logits.z0 + i * logits.stride, logits.z1 + i * logits.stride, logits.classes,
                                 logits.labels[i], call.from, call.to, call.lo + i, call.hi + i,
                                 call.open + i);
    }
  });
}

WmCode run_metrics(WmContext& context, const WmHeadMetrics& call, WmCancelFlag cancelled, WmError* error) {
  WmCode code = check_logits(call.logits, "head_metrics", error);
  if (code != WM_OK) return code;
  if (call.alpha_count > 0 && (!call.alphas || !call.sums)) {
    return fail(error, WM_INVALID_ARGUMENT, "head_metrics: alphas or sums are null");
  }
  const WmLogits& logits = call.logits;
  const size_t count = call.alpha_count;
  // Every prediction is compared with those of the ends, which come last where they are not asked for. One
  // model in the place of both predicts the same everywhere.
  std::vector<double> alphas(call.alphas, call.alphas + count);
  const auto place_of = [&](double end) {
    const size_t at = static_cast<size_t>(std::find(alphas.begin(), alphas.end(), end) - alphas.begin());
    if (at == alphas.size()) alphas.push_back(end);
    return at;
  };
  const bool one_model = logits.z0 == logits.z1;
  const size_t zeroshot = one_model ? 0 : place_of(0), finetuned = one_model ? 0 : place_of(1);
  const std::vector<float> rounded(alphas.begin(), alphas.end());
  const AlphaRuns runs = alpha_runs(rounded, count);

  const size_t width = count * kMetricColumns, total = alphas.size();
  const size_t block_count = (logits.rows + kSampleBlock - 1) / kSampleBlock;
  std::vector<double> blocks(block_count * width);
  // Per block rather than per thread, for the same reason as the scratch: no allocation while threads
  // compute.
  std::vector<SampleMetrics> samples(block_count * total);
  std::vector<uint8_t> correct(samples.size());
  code = for_each_block(
      context, logits, cancelled, [&](size_t block, size_t first, size_t last, float* scratch) {
        double* const sums = blocks.data() + block * width;
        SampleMetrics* const sample = samples.data() + block * total;
        uint8_t* const right = correct.data() + block * total;
        for (size_t i = first; i < last; i++) {
          for (size_t k = 0; k < total; k++) {
            right[k] = on_interval(call.lo[i], call.hi[i], call.open[i], alphas[k]);
          }
          context.kernels->head_metrics(logits.z0 + i * logits.stride, logits.z1 + i * logits.stride,
                                        logits.classes, logits.labels[i], rounded.data(), runs.runs.data(),
                                        runs.runs.size(), runs.step, right, scratch, sample);
          for (size_t k = 0; k < count; k++) {
            const SampleMetrics& m = sample[k];
            add_sample(sums + k * kMetricColumns, m, right[k], sample[zeroshot].predicted,
                       sample[finetuned].predicted);
            if (call.predicted) {
              __atomic_fetch_add(call.predicted + k * logits.classes + static_cast<size_t>(m.predicted), 1u,
                                 __ATOMIC_RELAXED);
            }
            if (call.predictions) call.predictions[k * logits.rows + i] = m.predicted;
          }
        }
      });
  if (code == WM_OK && width > 0) add_blocks(blocks, width, call.sums);
  return code;
}

WmCode run_moments(WmContext& context, const WmHeadMoments& call, WmCancelFlag cancelled, WmError* error) {
  WmCode code = check_logits(call.logits, "head_moments", error);
  if (code != WM_OK) return code;
  const WmLogits& logits = call.logits;
  std::vector<double> blocks((logits.rows + kSampleBlock - 1) / kSampleBlock * kMoments);
  code = for_each_block(
      context, logits, cancelled, [&](size_t block, size_t first, size_t last, float* scratch) {
        double* const sums = blocks.data() + block * kMoments;
        for (size_t i = first; i < last; i++) {
          double sample[kMoments];
          context.kernels->head_moments(logits.z0 + i * logits.stride, logits.z1 + i * logits.stride,
                                        logits.classes, logits.labels[i], static_cast<float>(call.b),
                                        static_cast<float>(call.g), scratch, sample);
          const double weight = call.weights ? call.weights[i] : 1;
          for (size_t j = 0; j < kMoments; j++) sums[j] += weight * sample[j];
        }
      });
  if (code == WM_OK) add_blocks(blocks, kMoments, call.sums);
  return code;
}

WmCode run_outputs(WmContext& context, const WmHeadOutputs& call, WmCancelFlag cancelled, WmError* error) {
  const WmCode code = check_logits(call.logits, "head_outputs", error);
  if (code != WM_OK) return code;
  if (!std::isfinite(call.alpha) || !call.outputs) {
    return fail(error, WM_INVALID_ARGUMENT, "head_outputs: alpha is %g, or outputs are null", call.alpha);
  }
  const WmLogits& logits = call.logits;
  return for_each_block(context, logits, cancelled, [&](size_t, size_t first, size_t last, float* scratch) {
    for (size_t i = first; i < last; i++) {
      context.kernels->head_outputs(logits.z0 + i * logits.stride, logits.z1 + i * logits.stride,
                                    logits.classes, logits.labels[i], call.alpha, scratch,
                                    call.outputs + i * kOutputColumns);
    }
  });
}

}  // namespace wisemerge::cpu
