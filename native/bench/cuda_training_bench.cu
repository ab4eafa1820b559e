#include <cstdio>
#include <string>
#include <vector>

#include "cuda/attention_gradient.h"
#include "cuda/gradient_launch.h"
#include "cuda/head_launch.h"
#include "cuda_training_bench.cuh"
#include "wisemerge/operations.h"

namespace wisemerge::cuda {
namespace {

constexpr uint64_t kImages = 64, kTokens = 197, kWidth = 768, kInner = 4 * kWidth, kHeads = 12;
constexpr uint64_t kRows = kImages * kTokens, kParameters = 86u << 20;

class Floats {
 public:
  explicit Floats(uint64_t count, uint64_t seed = 1) : memory_(count * sizeof(float)) {
    fill<DType::kF32><<<2048, 256>>>(reinterpret_cast<uint32_t*>(memory_.get()), count, seed);
    check(cudaDeviceSynchronize(), "filling memory");
  }
  float* get() const { return reinterpret_cast<float*>(memory_.get()); }

 private:
  DeviceMemory memory_;
};

template <class Work>
double seconds(const Stream& stream, Work&& work) {
  std::vector<double> times;
  for (int repeat = -kWarmUps; repeat < kRepeats; repeat++) {
    const double ms = event_time(stream, work);
    if (repeat >= 0) times.push_back(ms * 1e-3);
  }
  return median(times);
}

// [m, n] over k terms; each operand's depth contiguous, or its lines.
Matmul product(uint64_t m, uint64_t n, uint64_t k, const float* a, bool deep_a, const float* w, bool deep_w,
               float* out) {
  Matmul call{};
  call.m = static_cast<uint32_t>(m);
  call.n = static_cast<uint32_t>(n);
  call.k = static_cast<uint32_t>(k);
  call.a = {a, deep_a ? k : 1, deep_a ? 1 : m, DType::kF32};
  call.w0 = {w, deep_w ? k : 1, deep_w ? 1 : n, DType::kF32};
  call.out = out;
  call.out_stride = n;
  return call;
}

MatmulBatch single(const Matmul& call) {
  MatmulBatch batch{};
  batch.product = call;
  batch.items = batch.heads = 1;
  return batch;
}

void products(const Stream& stream) {
  const Floats x(kRows * kWidth), w(kInner * kWidth, 2), y(kRows * kInner, 3), out(kRows * kInner);
  const auto rate = [&](const auto& call) {
    const double took = seconds(stream, [&] { check(launch(call, stream), "launching a product"); });
    return 2.0 * static_cast<double>(kRows * kWidth * kInner) / took;
  };
  const double forward = rate(product(kRows, kInner, kWidth, x.get(), true, w.get(), true, out.get()));
  const double values =
      rate(single(product(kRows, kWidth, kInner, y.get(), true, w.get(), false, out.get())));
  const double weights =
      rate(single(product(kInner, kWidth, kRows, y.get(), false, x.get(), false, out.get())));
  std::printf(
      "  \"training_products\": {\"forward_tflop_per_s\": %.2f, \"values_of_forward\": %.4f, "
      "\"weights_of_forward\": %.4f},\n",
      forward * 1e-12, values / forward, weights / forward);
}

void attention(const Stream& stream) {
  constexpr uint64_t kPacked = 3 * kWidth, kDim = kWidth / kHeads;
  const WmOperation operation = {
      static_cast<int32_t>(network::OpKind::kAttention),
      {WM_NO_PARAMETER, WM_NO_PARAMETER},
      {kImages, kTokens, kHeads, kHeads, kDim, 0, 0, kPacked, kPacked, kPacked, 0, kWidth, 2 * kWidth}};
  const Floats packed(kRows * kPacked), dy(kRows * kWidth, 2), gradient(kRows * kPacked, 3);
  const DeviceMemory scratch(attention_gradient_scratch(operation));
  GradientCall call{operation, {}, {}, {}, dy.get(), nullptr, {}, {}, 0.125};
  for (size_t i = 0; i < 3; i++) {
    call.value[i] = packed.get();
    call.value_gradient[i] = gradient.get();
    call.add[i] = true;
  }
  const double took = seconds(stream, [&] { run_attention_gradient(call, scratch.get(), stream); });
  const double flops = 10.0 * static_cast<double>(kRows * kTokens * kWidth);
  std::printf("  \"training_attention\": {\"tflop_per_s\": %.2f},\n", flops / took * 1e-12);
}

void passes(const Stream& stream) {
  const Floats dy(kRows * kInner), sums(kInner), gradient(kParameters), parameters(kParameters, 2);
  const Floats first(kParameters, 3), second(kParameters, 4);
  const auto rate = [&](const auto& call, uint64_t floats) {
    const double took = seconds(stream, [&] { check(launch(call, stream), "launching a pass"); });
    return static_cast<double>(floats * sizeof(float)) / took * 1e-9;
  };
  const SquareSums squares{kParameters, gradient.get(), reinterpret_cast<double*>(dy.get())};
  const WmAdamW factors = {1, 0.9f, 0.1f, 0.999f, 0.001f, 1, 0, 1, 1e-8f, 0};
  std::printf(
      "  \"training_passes\": {\"bias_gb_per_s\": %.1f, \"norm_gb_per_s\": %.1f, "
      "\"adamw_gb_per_s\": %.1f},\n",
      rate(ColumnSums{kRows, kInner, dy.get(), nullptr, nullptr, sums.get()}, kRows * kInner),
      rate(squares, kParameters),
      rate(AdamWPass{factors, kParameters, gradient.get(), parameters.get(), first.get(), second.get()},
           7 * kParameters));
}

}  // namespace

void training_runs() {
  const Stream stream;
  products(stream);
  attention(stream);
  passes(stream);
}

}  // namespace wisemerge::cuda
