// A network with parameters of the caller's choice: what it gives, and that batches and threads change no
// bit.
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.h"
#include "core/status.h"
#include "cpu/cpu_backend.h"
#include "train/inference.h"
#include "train/train_rows.h"
#include "wisemerge/convert.h"

namespace wisemerge::test {
namespace {

using namespace wisemerge::train;

constexpr uint64_t kSamples = 157, kInputs = 19, kHidden = 23, kOutputs = 5, kStride = 8;
constexpr uint64_t kParameters = kHidden * (kInputs + 1) + kOutputs * (kHidden + 1);

std::vector<Layer> layers() {
  Layer in{LayerKind::kLinear, kInputs, kHidden}, out{LayerKind::kLinear, kHidden, kOutputs};
  in.weight = 0;
  in.bias = kHidden * kInputs;
  out.weight = in.bias + kHidden;
  out.bias = out.weight + kOutputs * kHidden;
  return {in, {LayerKind::kRelu, kHidden, kHidden}, out};
}

std::vector<float> normal(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> draw(0, 0.5f);
  std::vector<float> values(count);
  for (float& value : values) value = draw(random);
  return values;
}

std::vector<float> infer(const std::vector<float>& features, const std::vector<float>& parameters,
                         uint64_t max_rows, int threads) {
  const auto engine = std::make_shared<Engine>(wisemerge_cpu_backend(), EngineOptions{0, threads, ""});
  Inference inference(engine, layers(), kParameters, max_rows, threads);
  std::vector<float> out(kSamples * kStride, -7);
  inference.run({kSamples, kInputs, DType::kF32, reinterpret_cast<const uint8_t*>(features.data()),
                 parameters.data(), out.data(), kStride},
                nullptr);
  return out;
}

// In f64, from the definition.
double expected(const float* x, const float* parameters, uint64_t output) {
  const float *const w0 = parameters, *const b0 = w0 + kHidden * kInputs, *const w1 = b0 + kHidden,
                     *const b1 = w1 + kOutputs * kHidden;
  double sum = b1[output];
  for (uint64_t h = 0; h < kHidden; h++) {
    double hidden = b0[h];
    for (uint64_t j = 0; j < kInputs; j++) hidden += static_cast<double>(w0[h * kInputs + j]) * x[j];
    if (hidden > 0) sum += hidden * w1[output * kHidden + h];
  }
  return sum;
}

}  // namespace

TEST("train inference: the network's definition, for any parameters") {
  const std::vector<float> features = normal(kSamples * kInputs, 1);
  for (const uint64_t seed : {2, 3}) {
    const std::vector<float> parameters = normal(kParameters, seed);
    const std::vector<float> out = infer(features, parameters, 64, 1);
    for (uint64_t i = 0; i < kSamples; i++) {
      for (uint64_t j = 0; j < kOutputs; j++) {
        const double want = expected(features.data() + i * kInputs, parameters.data(), j);
        CHECK(std::fabs(out[i * kStride + j] - want) < 1e-4);
      }
      for (uint64_t j = kOutputs; j < kStride; j++) CHECK_EQ(out[i * kStride + j], -7.0f);
    }
  }
}

TEST("train inference: batches and threads change no bit") {
  const std::vector<float> features = normal(kSamples * kInputs, 1), parameters = normal(kParameters, 2);
  const std::vector<float> reference = infer(features, parameters, kSamples, 1);
  for (const uint64_t max_rows : {1, 7, 64, 500}) {
    for (const int threads : {1, 3}) {
      const std::vector<float> out = infer(features, parameters, max_rows, threads);
      CHECK_EQ(std::memcmp(out.data(), reference.data(), out.size() * sizeof(float)), 0);
    }
  }
}

TEST("train inference: bf16 features are those of their f32 values") {
  std::vector<float> features = normal(kSamples * kInputs, 4);
  std::vector<uint16_t> stored;
  for (float& value : features) {
    stored.push_back(Element<DType::kBF16>::store32(value));
    value = Element<DType::kBF16>::load32(stored.back());
  }
  const std::vector<float> parameters = normal(kParameters, 2);
  const std::vector<float> reference = infer(features, parameters, 64, 1);
  const auto engine = std::make_shared<Engine>(wisemerge_cpu_backend(), EngineOptions{0, 1, ""});
  Inference inference(engine, layers(), kParameters, 64, 1);
  std::vector<float> out(kSamples * kStride, -7);
  inference.run({kSamples, kInputs, DType::kBF16, reinterpret_cast<const uint8_t*>(stored.data()),
                 parameters.data(), out.data(), kStride},
                nullptr);
  CHECK_EQ(std::memcmp(out.data(), reference.data(), out.size() * sizeof(float)), 0);
}

TEST("train inference: refuses what leaves the arena") {
  const auto engine = std::make_shared<Engine>(wisemerge_cpu_backend(), EngineOptions{0, 1, ""});
  const std::vector<double> network = {15, 8, 2, 0, 4, 3, 0, 12, 0};
  const NetworkRow row = parse_network(network.data(), network.size());
  CHECK_EQ(row.parameters, uint64_t{15});
  CHECK_EQ(row.max_rows, uint64_t{8});
  CHECK_EQ(row.threads, 2);
  CHECK_EQ(row.layers.size(), size_t{1});
  Inference inference(engine, row.layers, row.parameters, row.max_rows, row.threads);
  alignas(64) static uint8_t arena[2048];
  const auto code = [&](size_t at, double value) -> std::string {
    std::vector<double> numbers = {10, 4, 17, 0, 512, 16, 1024};
    if (at < numbers.size()) numbers[at] = value;
    try {
      inference.run(parse_logits(numbers.data(), numbers.size(), inference, arena, sizeof(arena)), nullptr);
      return "none";
    } catch (const Error& error) {
      return error.code();
    }
  };
  CHECK_EQ(code(7, 0), "none");
  CHECK_EQ(code(0, 1000), "ERR_INTERNAL_RANGE");
  CHECK_EQ(code(1, 5), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code(2, 0), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code(4, 2044), "ERR_INTERNAL_RANGE");
  CHECK_EQ(code(5, 2), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code(6, 2040), "ERR_INTERNAL_RANGE");
}

TEST("train inference: layers that do not fit are refused") {
  const auto refused = [](const std::vector<Layer>& all, uint64_t count, uint64_t rows = 4) {
    try {
      Mlp(all, count, rows);
      return false;
    } catch (const Error& error) {
      return std::string(error.code()) == "ERR_INTERNAL_ARGUMENT";
    }
  };
  const auto changed = [](auto change) {
    std::vector<Layer> all = layers();
    change(all);
    return all;
  };
  CHECK(!refused(layers(), kParameters));
  CHECK(refused(layers(), kParameters - 1));
  CHECK(refused(layers(), kParameters, 0));
  CHECK(refused({}, 10));
  CHECK(refused(changed([](auto& all) { all[2].inputs++; }), 2 * kParameters));
  CHECK(refused(changed([](auto& all) { all[0].outputs = uint64_t{1} << 62; }), UINT64_MAX - 1));
  CHECK(refused(changed([](auto& all) { all[0].weight = Layer::kNone; }), kParameters));
  // Activations whose number wraps around to none.
  const uint64_t half = uint64_t{1} << 32;
  try {
    Mlp({{LayerKind::kRelu, half, half}}, 1, half);
    CHECK(!"a network of 2^64 activations");
  } catch (const Error& error) {
    CHECK_EQ(error.code(), "ERR_INTERNAL_RANGE");
  }
}

}  // namespace wisemerge::test
