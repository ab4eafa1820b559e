#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>

#include "cuda/cublas_lt.h"
#include "cuda/head_launch.h"
#include "cuda/tensor_matmul.h"
#include "cuda_network_bench.cuh"
#include "wisemerge/backend.h"
#include "wisemerge/operations.h"

extern "C" const WmBackend* wisemerge_backend(void);

namespace wisemerge::cuda {
namespace {

using network::Activation;
using network::OpKind;

// A program in the making; every value has a place of its own.
class Draft {
 public:
  explicit Draft(uint64_t rows) : rows_(rows) {}

  uint64_t value(uint64_t count) {
    const uint64_t at = memory_;
    memory_ += (count * sizeof(float) + 63) / 64 * 64;
    return at;
  }
  uint32_t tensor(uint64_t count) {
    tensors_.push_back(count);
    return static_cast<uint32_t>(tensors_.size() - 1);
  }
  uint64_t op(OpKind kind, uint64_t count, const std::vector<uint64_t>& values,
              const std::vector<uint32_t>& parameters, const std::vector<uint64_t>& sizes, double real = 0) {
    WmOperation operation{static_cast<int32_t>(kind), {WM_NO_PARAMETER, WM_NO_PARAMETER}, {}};
    std::copy(parameters.begin(), parameters.end(), operation.parameter);
    std::copy(sizes.begin(), sizes.end(), operation.size);
    WmOperands on{{WM_NO_VALUE, WM_NO_VALUE, WM_NO_VALUE, WM_NO_VALUE}, value(count), {}, real};
    std::copy(values.begin(), values.end(), on.value);
    operations_.push_back(operation);
    operands_.push_back(on);
    return on.out;
  }
  uint64_t linear(uint64_t x, uint64_t inputs, uint64_t outputs, bool biased) {
    flops_ += 2.0 * static_cast<double>(rows_ * inputs * outputs);
    const uint32_t weight = tensor(inputs * outputs), bias = biased ? tensor(outputs) : WM_NO_PARAMETER;
    return op(OpKind::kLinear, rows_ * outputs, {x}, {weight, bias}, {rows_, inputs, outputs, 0});
  }
  uint64_t norm(uint64_t x, uint64_t width) {
    return op(OpKind::kLayerNorm, rows_ * width, {x}, {tensor(width), tensor(width)}, {rows_, width}, 1e-5);
  }
  uint64_t rms_norm(uint64_t x, uint64_t width) {
    return op(OpKind::kRmsNorm, rows_ * width, {x}, {tensor(width)}, {rows_, width}, 1e-5);
  }
  uint64_t add(uint64_t x, uint64_t y, uint64_t width) {
    return op(OpKind::kAdd, rows_ * width, {x, y}, {}, {rows_ * width});
  }
  uint64_t attention(uint64_t q, uint64_t k, uint64_t v, const std::vector<uint64_t>& sizes) {
    const double pairs = static_cast<double>(rows_ * sizes[1]) / (sizes[5] ? 2 : 1);
    flops_ += 4 * pairs * static_cast<double>(sizes[2] * sizes[4]);
    return op(OpKind::kAttention, rows_ * sizes[2] * sizes[4], {q, k, v}, {}, sizes,
              1 / std::sqrt(static_cast<double>(sizes[4])));
  }

  void count(double flops) { flops_ += flops; }
  double flops() const { return flops_; }
  uint64_t memory() const { return memory_; }
  const std::vector<uint64_t>& tensors() const { return tensors_; }
  const std::vector<WmOperation>& operations() const { return operations_; }
  const std::vector<WmOperands>& operands() const { return operands_; }

 private:
  const uint64_t rows_;
  uint64_t memory_ = 0;
  double flops_ = 0;
  std::vector<uint64_t> tensors_;
  std::vector<WmOperation> operations_;
  std::vector<WmOperands> operands_;
};

struct Shape {
  std::string name;
  uint64_t rows, width, inner;  // the largest product is [rows, width] by [inner, width]
  Draft draft;
  uint64_t result, result_count;
  uint64_t labels = WM_NO_VALUE;
};

Shape vit_blocks() {
  constexpr uint64_t kImages = 64, kTokens = 197, kWidth = 768, kHeads = 12, kRows = kImages * kTokens;
  Draft d(kRows);
  uint64_t x = d.value(kRows * kWidth);  // the input, at offset 0
  for (int block = 0; block < 3; block++) {
    const uint64_t packed = d.linear(d.norm(x, kWidth), kWidth, 3 * kWidth, true);
    const uint64_t seen = d.attention(packed, packed, packed,
                                      {kImages, kTokens, kHeads, kHeads, kWidth / kHeads, 0, 0, 3 * kWidth,
                                       3 * kWidth, 3 * kWidth, 0, kWidth, 2 * kWidth});
    x = d.add(x, d.linear(seen, kWidth, kWidth, true), kWidth);
    const uint64_t inner = d.linear(d.norm(x, kWidth), kWidth, 4 * kWidth, true);
    const uint64_t active = d.op(OpKind::kActivation, kRows * 4 * kWidth, {inner}, {},
                                 {kRows * 4 * kWidth, static_cast<uint64_t>(Activation::kGelu)});
    x = d.add(x, d.linear(active, 4 * kWidth, kWidth, true), kWidth);
  }
  return {"vit_b_blocks", kRows, kWidth, 4 * kWidth, std::move(d), x, kWidth};
}

Shape decoder_blocks() {
  constexpr uint64_t kTexts = 8, kTokens = 512, kWidth = 2048, kHeads = 32, kShared = 8, kDim = 64;
  constexpr uint64_t kRows = kTexts * kTokens, kNarrow = kShared * kDim, kInner = 8192, kClasses = 32000;
  Draft d(kRows);
  uint64_t x = d.value(kRows * kWidth);
  const uint64_t labels = d.value(kRows);
  for (int block = 0; block < 2; block++) {
    const uint64_t in = d.rms_norm(x, kWidth);
    const uint64_t q = d.linear(in, kWidth, kWidth, false), k = d.linear(in, kWidth, kNarrow, false);
    const uint64_t v = d.linear(in, kWidth, kNarrow, false);
    const uint64_t seen = d.attention(
        q, k, v, {kTexts, kTokens, kHeads, kShared, kDim, 1, 0, kWidth, kNarrow, kNarrow, 0, 0, 0});
    x = d.add(x, d.linear(seen, kWidth, kWidth, false), kWidth);
    const uint64_t out = d.rms_norm(x, kWidth), gate = d.linear(out, kWidth, kInner, false);
    const uint64_t gated = d.op(OpKind::kGate, kRows * kInner, {gate, d.linear(out, kWidth, kInner, false)},
                                {}, {kRows * kInner, static_cast<uint64_t>(Activation::kSilu)});
    x = d.add(x, d.linear(gated, kInner, kWidth, false), kWidth);
  }
  const uint64_t losses = d.op(OpKind::kHeadLosses, kRows, {d.rms_norm(x, kWidth), labels},
                               {d.tensor(kClasses * kWidth)}, {kRows, kWidth, kClasses});
  d.count(2.0 * static_cast<double>(kRows * kWidth * kClasses));
  return {"decoder_1b_blocks", kRows, kWidth, kInner, std::move(d), losses, kRows, labels};
}

// Both ends of a model in bf16, and an input, in host memory.
class Model {
 public:
  explicit Model(const Shape& shape) : input_(shape.rows * shape.width), labels_(shape.rows) {
    uint64_t seed = 1;
    const auto random = [&] {
      seed = seed * 6364136223846793005ull + 1442695040888963407ull;
      return static_cast<float>(static_cast<int32_t>(seed >> 32)) * 0x1p-31f;
    };
    for (const uint64_t count : shape.draft.tensors()) {
      for (int end = 0; end < 2; end++) {
        ends_.emplace_back(count);
        for (uint16_t& code : ends_.back()) code = f32_to_bf16(0.04f * random());
      }
    }
    for (float& x : input_) x = random();
    for (size_t i = 0; i < labels_.size(); i++) labels_[i] = static_cast<int32_t>(i * 37 % 32000);
  }
  std::vector<WmParameter> parameters() const {
    constexpr int32_t kType = static_cast<int32_t>(DType::kBF16);
    std::vector<WmParameter> all;
    for (size_t i = 0; i < ends_.size(); i += 2) {
      all.push_back({ends_[i].size(), kType, kType, ends_[i].data(), ends_[i + 1].data()});
    }
    return all;
  }
  uint64_t bytes() const {
    uint64_t all = 0;
    for (const auto& end : ends_) all += end.size() * sizeof(uint16_t);
    return all;
  }
  const std::vector<float>& input() const { return input_; }
  const std::vector<int32_t>& labels() const { return labels_; }

 private:
  std::vector<std::vector<uint16_t>> ends_;
  std::vector<float> input_;
  std::vector<int32_t> labels_;
};

// A context with one network.
class Runner {
 public:
  Runner(const Shape& shape, const Model& model, WmPrecision precision, int32_t way, uint64_t memory = 0)
      : shape_(shape), model_(model) {
    const WmOpenOptions options = {0, 0, nullptr, precision, memory};
    require(backend_->open(&options, &context_, &error_));
    const std::vector<WmParameter> table = model.parameters();
    require(backend_->network_open(context_, table.data(), static_cast<uint32_t>(table.size()), way,
                                   &network_, &error_));
  }
  ~Runner() { backend_->close(context_); }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  // Candidates share the values' memory: what they leave behind is of no interest here.
  std::vector<float> run(const std::vector<double>& alphas) {
    const Draft& draft = shape_.draft;
    std::vector<WmTransfer> inputs = {
        {const_cast<float*>(model_.input().data()), 0, model_.input().size() * sizeof(float)}};
    if (shape_.labels != WM_NO_VALUE) {
      inputs.push_back({const_cast<int32_t*>(model_.labels().data()), shape_.labels,
                        model_.labels().size() * sizeof(int32_t)});
    }
    const WmProgram program = {static_cast<uint32_t>(draft.operations().size()),
                               static_cast<uint32_t>(inputs.size()), draft.operations().data(), inputs.data(),
                               draft.memory()};
    require(backend_->network_begin(context_, network_, &program, nullptr, &error_));
    for (uint32_t at = 0; at < program.operations; at++) {
      for (const double alpha : alphas) {
        WmOperands on = draft.operands()[at];
        on.alpha[0] = on.alpha[1] = alpha;
        require(backend_->network_operate(context_, network_, at, &on, nullptr, &error_));
      }
    }
    std::vector<float> result(shape_.result_count);
    const WmTransfer to = {result.data(), shape_.result, result.size() * sizeof(float)};
    require(backend_->network_finish(context_, network_, &to, 1, nullptr, &error_));
    return result;
  }
  double seconds(const std::vector<double>& alphas) {
    std::vector<double> times;
    for (int repeat = -kWarmUps; repeat < 7; repeat++) {
      const auto begin = std::chrono::steady_clock::now();
      run(alphas);
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
      if (repeat >= 0) times.push_back(took.count());
    }
    return median(times);
  }

 private:
  void require(WmCode code) const {
    if (code != WM_OK) throw Failure{code, error_.native_code, error_.message};
  }

  const WmBackend* const backend_ = wisemerge_backend();
  const Shape& shape_;
  const Model& model_;
  WmContext* context_ = nullptr;
  WmNetwork* network_ = nullptr;
  WmError error_ = {};
};

// FLOP/s of the shape's largest product alone, its weights between two models of bf16.
double product_rate(const Shape& shape, bool fast) {
  const Stream stream;
  const DeviceMemory a(shape.rows * shape.width * 4), w0(shape.inner * shape.width * 2),
      w1(shape.inner * shape.width * 2), out(shape.rows * shape.inner * 4);
  fill<DType::kF32>
      <<<2048, 256, 0, stream>>>(reinterpret_cast<uint32_t*>(a.get()), shape.rows * shape.width, 1);
  fill<DType::kBF16>
      <<<2048, 256, 0, stream>>>(reinterpret_cast<uint16_t*>(w0.get()), shape.inner * shape.width, 2);
  fill<DType::kBF16>
      <<<2048, 256, 0, stream>>>(reinterpret_cast<uint16_t*>(w1.get()), shape.inner * shape.width, 3);
  Matmul call{};
  call.m = static_cast<uint32_t>(shape.rows);
  call.n = static_cast<uint32_t>(shape.inner);
  call.k = static_cast<uint32_t>(shape.width);
  call.a = {a.get(), shape.width, 1, DType::kF32};
  call.w0 = {w0.get(), shape.width, 1, DType::kBF16};
  call.w1 = {w1.get(), shape.width, 1, DType::kBF16};
  call.alpha = 0.3f;
  call.out = reinterpret_cast<float*>(out.get());
  call.out_stride = shape.inner;
  std::vector<double> times;
  for (int repeat = -kWarmUps; repeat < kRepeats; repeat++) {
    const double ms = event_time(stream, [&] {
      check(fast ? launch_tensor(call, stream) : launch(call, stream), "launching a matrix product");
    });
    if (repeat >= 0) times.push_back(ms * 1e-3);
  }
  return 2.0 * static_cast<double>(shape.rows * shape.width * shape.inner) / median(times);
}

void shape_runs(const Shape& shape) {
  const Model model(shape);
  for (const auto& [precision, name] : {std::pair{WM_EXACT, "exact"}, {WM_FAST, "fast"}, {WM_TF32, "tf32"}}) {
    const bool library = precision == WM_TF32;
    if (library && !cublas_lt_function("cublasLtCreate")) continue;
    Runner scratch(shape, model, precision, WM_WAY_SCRATCH), fused(shape, model, precision, WM_WAY_FUSED);
    // Values and scratch fit; of the weights, a half.
    Runner streamed(shape, model, precision, WM_WAY_SCRATCH,
                    shape.draft.memory() + (256u << 20) + model.bytes() / 2);
    const std::vector<float> wanted = scratch.run({0.3});
    for (const float x : wanted) {
      if (!(x - x == 0)) throw Failure{WM_DEVICE_ERROR, 0, "a network's result is not finite"};
    }
    if ((!library && fused.run({0.3}) != wanted) || streamed.run({0.3}) != wanted) {
      throw Failure{WM_DEVICE_ERROR, 0, "the ways of a network's products differ; nothing was timed"};
    }
    const double rate = product_rate(shape, precision != WM_EXACT), one = scratch.seconds({0.3});
    const double inside = fused.seconds({0.3}), plain = scratch.seconds({0}),
                 stream = streamed.seconds({0.3});
    const double eight = scratch.seconds({0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75});
    std::printf(
        "  \"%s_%s\": {\"tflop_per_s\": %.2f, \"of_product\": %.4f, \"plain_of_one_point\": %.4f, "
        "\"fused_of_scratch\": %.4f, \"eight_points_of_8_times_one\": %.4f, "
        "\"streamed_of_resident\": %.4f},\n",
        shape.name.c_str(), name, shape.draft.flops() / one * 1e-12, shape.draft.flops() / one / rate,
        plain / one, inside / one, eight / (8 * one), stream / one);
  }
}

}  // namespace

void network_runs() {
  shape_runs(vit_blocks());
  shape_runs(decoder_blocks());
}

}  // namespace wisemerge::cuda
