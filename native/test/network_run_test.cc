// Programs as a whole: memory, candidates, ways, and operations whose weights are interpolated, against f64.
#include <cmath>
#include <iterator>
#include <random>
#include <vector>

#include "check.h"
#include "core/engine.h"
#include "core/status.h"
#include "cpu/cpu_backend.h"
#include "network/activations.h"
#include "network/memory_plan.h"
#include "network/network.h"
#include "wisemerge/convert.h"

namespace wisemerge::test {
namespace {

using namespace wisemerge::network;

// A model at both ends; `lerp` is its definition in f64.
struct Weights2 {
  std::vector<std::vector<float>> zeroshot, finetuned;
  std::vector<std::vector<uint16_t>> narrow;  // bf16, two per parameter

  uint32_t add(size_t count, std::mt19937_64& random, bool same = false) {
    std::normal_distribution<float> normal;
    std::vector<float> x(count), y(count);
    for (size_t i = 0; i < count; i++) {
      // Numbers that bf16 holds, so that both dtypes stand for the same model.
      const auto round = [](float v) {
        return Element<DType::kBF16>::load32(Element<DType::kBF16>::store32(v));
      };
      x[i] = round(0.5f * normal(random));
      y[i] = same ? x[i] : round(x[i] + 0.2f * normal(random));
    }
    zeroshot.push_back(x);
    finetuned.push_back(y);
    return static_cast<uint32_t>(zeroshot.size() - 1);
  }
  std::vector<Parameter> stored(bool half) {
    std::vector<Parameter> all;
    narrow.clear();
    narrow.reserve(2 * zeroshot.size());
    const auto bf16 = [&](const std::vector<float>& from) -> const void* {
      std::vector<uint16_t> codes;
      for (const float x : from) codes.push_back(Element<DType::kBF16>::store32(x));
      narrow.push_back(codes);
      return narrow.back().data();
    };
    const DType dtype = half ? DType::kBF16 : DType::kF32;
    for (size_t p = 0; p < zeroshot.size(); p++) {
      const void* const x = half ? bf16(zeroshot[p]) : zeroshot[p].data();
      const void* const y = half ? bf16(finetuned[p]) : finetuned[p].data();
      all.push_back({zeroshot[p].size(), dtype, dtype, x, y});
    }
    return all;
  }
  double at(uint32_t parameter, size_t i, double alpha) const {
    const double x = static_cast<double>(zeroshot[parameter][i]);
    return x + alpha * (static_cast<double>(finetuned[parameter][i]) - x);
  }
};

Op op(OpKind kind, uint32_t out, std::vector<uint32_t> values, std::vector<uint32_t> parameters,
      std::vector<uint64_t> sizes, double real = 0) {
  Op result{};
  result.kind = kind;
  result.out = out;
  for (size_t i = 0; i < kOpValues; i++) result.value[i] = i < values.size() ? values[i] : kNone;
  for (size_t i = 0; i < kOpParameters; i++) {
    result.parameter[i] = i < parameters.size() ? parameters[i] : kNone;
  }
  for (size_t i = 0; i < sizes.size(); i++) result.size[i] = sizes[i];
  result.real = real;
  return result;
}

constexpr size_t kRows = 6, kInputs = 10, kHidden = 300, kOutputs = 4;

// ids -> embedding, scaled by a norm; h = gelu(e W1^T + b1); out = h W2 + e W3^T, W2 transposed.
struct Model {
  std::mt19937_64 random{5};
  Weights2 weights;
  std::vector<int32_t> ids = {3, 0, 6, 6, 1, 5};
  std::vector<float> results;
  Program program;

  explicit Model(size_t candidates) : results(candidates * kRows * kOutputs) {
    const uint32_t table = weights.add(7 * kInputs, random), w1 = weights.add(kHidden * kInputs, random),
                   b1 = weights.add(kHidden, random, true), w2 = weights.add(kHidden * kOutputs, random),
                   w3 = weights.add(kOutputs * kInputs, random);
    const auto computed = [](uint64_t count) { return Value{count, Value::Source::kComputed, nullptr}; };
    program.values = {{kRows, Value::Source::kWhole, ids.data()},
                      computed(kRows * kInputs),
                      computed(kRows * kHidden),
                      computed(kRows * kHidden),
                      computed(kRows * kOutputs),
                      computed(kRows * kOutputs),
                      {kRows * kOutputs, Value::Source::kComputed, results.data()}};
    program.ops = {op(OpKind::kEmbedding, 1, {0}, {table}, {kRows, kInputs, 7}),
                   op(OpKind::kLinear, 2, {1}, {w1, b1}, {kRows, kInputs, kHidden, 0}),
                   op(OpKind::kActivation, 3, {2}, {}, {kRows * kHidden, 0}),
                   op(OpKind::kLinear, 4, {3}, {w2}, {kRows, kHidden, kOutputs, 1}),
                   op(OpKind::kLinear, 5, {1}, {w3}, {kRows, kInputs, kOutputs, 0}),
                   op(OpKind::kAdd, 6, {4, 5}, {}, {kRows * kOutputs})};
  }

  std::vector<float> run(const std::vector<double>& alphas, bool half, ProductWay way, int threads = 1) {
    Network network(std::make_shared<Engine>(wisemerge_cpu_backend(), EngineOptions{0, threads, ""}),
                    weights.stored(half), threads, way);
    network.run(program, {results.size() / (kRows * kOutputs), alphas}, nullptr);
    return results;
  }

  double reference(size_t row, size_t j, const double* alpha) const {
    double sum = 0;
    for (size_t l = 0; l < kInputs; l++) {
      sum += weights.at(0, static_cast<size_t>(ids[row]) * kInputs + l, alpha[0]) *
             weights.at(4, j * kInputs + l, alpha[4]);
    }
    for (size_t h = 0; h < kHidden; h++) {
      double z = weights.at(2, h, alpha[2]);
      for (size_t l = 0; l < kInputs; l++) {
        z += weights.at(0, static_cast<size_t>(ids[row]) * kInputs + l, alpha[0]) *
             weights.at(1, h * kInputs + l, alpha[1]);
      }
      sum += z * (1 + std::erf(z / std::sqrt(2.0))) / 2 * weights.at(3, h * kOutputs + j, alpha[3]);
    }
    return sum;
  }
};

// Candidates with an alpha of its own for every parameter.
const std::vector<double> kAlphas = {0, 0, 0, 0,   0,   0.3, 0.3, 0.3, 0.3,  0.3,
                                     1, 1, 1, 1.0, 1.0, 0.1, 0.9, 0.5, -0.5, 1.5};

}  // namespace

TEST("network run: interpolated weights against f64, both dtypes, both ways, the same bits") {
  Model model(4);
  const std::vector<float> results = model.run(kAlphas, false, ProductWay::kFused);
  for (size_t k = 0; k < 4; k++) {
    for (size_t i = 0; i < kRows * kOutputs; i++) {
      const double wanted = model.reference(i / kOutputs, i % kOutputs, &kAlphas[k * 5]);
      CHECK(std::abs(static_cast<double>(results[k * kRows * kOutputs + i]) - wanted) < 2e-5);
    }
  }
  for (const bool half : {false, true}) {
    for (const ProductWay way : {ProductWay::kAuto, ProductWay::kFused, ProductWay::kScratch}) {
      for (const int threads : {1, 3}) CHECK(model.run(kAlphas, half, way, threads) == results);
    }
  }
}

TEST("network run: candidates together are candidates alone, in any order") {
  Model all(4);
  const std::vector<float> together = all.run(kAlphas, true, ProductWay::kAuto, 2);
  for (size_t k = 0; k < 4; k++) {
    Model one(1);
    const std::vector<double> alphas(kAlphas.begin() + static_cast<long>(5 * k),
                                     kAlphas.begin() + static_cast<long>(5 * k + 5));
    const std::vector<float> alone = one.run(alphas, true, ProductWay::kAuto);
    CHECK(std::equal(alone.begin(), alone.end(), together.begin() + static_cast<long>(k * alone.size())));
  }
}

TEST("network run: similarity is e^s x y^T, with arrays per candidate") {
  std::mt19937_64 random(2);
  Weights2 weights;
  const uint32_t scale = weights.add(1, random);
  std::vector<float> x(2 * 3 * 4), y(2 * 5 * 4), out(2 * 3 * 5);
  for (float& v : x) v = std::normal_distribution<float>()(random);
  for (float& v : y) v = std::normal_distribution<float>()(random);
  Program program;
  program.values = {{12, Value::Source::kEachCandidate, x.data()},
                    {20, Value::Source::kEachCandidate, y.data()},
                    {15, Value::Source::kComputed, out.data()}};
  program.ops = {op(OpKind::kSimilarity, 2, {0, 1}, {scale}, {3, 5, 4})};
  Network network(std::make_shared<Engine>(wisemerge_cpu_backend(), EngineOptions{}), weights.stored(false),
                  1, ProductWay::kAuto);
  network.run(program, {2, {0.25, 0.75}}, nullptr);
  for (size_t k = 0; k < 2; k++) {
    for (size_t i = 0; i < 15; i++) {
      double sum = 0;
      for (size_t l = 0; l < 4; l++) {
        sum +=
            static_cast<double>(x[k * 12 + i / 5 * 4 + l]) * static_cast<double>(y[k * 20 + i % 5 * 4 + l]);
      }
      const double wanted = sum * std::exp(weights.at(scale, 0, k == 0 ? 0.25 : 0.75));
      CHECK(std::abs(static_cast<double>(out[k * 15 + i]) - wanted) < 1e-5);
    }
  }
}

TEST("network run: losses without logits are those of the logits, to the bit") {
  std::mt19937_64 random(8);
  Weights2 weights;
  const size_t rows = 3, inputs = 3000, classes = 900;  // several slices
  const uint32_t head = weights.add(inputs * classes, random);
  std::vector<float> x(rows * inputs), plain(2 * rows), sliced(2 * rows);
  for (float& v : x) v = 0.05f * std::normal_distribution<float>()(random);
  std::vector<int32_t> labels = {899, -1, 300};
  Program program;
  program.values = {{x.size(), Value::Source::kFloats, x.data()},
                    {rows, Value::Source::kWhole, labels.data()},
                    {rows * classes, Value::Source::kComputed, nullptr},
                    {rows, Value::Source::kComputed, plain.data()},
                    {rows, Value::Source::kComputed, sliced.data()}};
  program.ops = {op(OpKind::kLinear, 2, {0}, {head}, {rows, inputs, classes, 0}),
                 op(OpKind::kTokenLosses, 3, {2, 1}, {}, {rows, classes}),
                 op(OpKind::kHeadLosses, 4, {0, 1}, {head}, {rows, inputs, classes})};
  for (const ProductWay way : {ProductWay::kFused, ProductWay::kScratch}) {
    Network network(std::make_shared<Engine>(wisemerge_cpu_backend(), EngineOptions{}), weights.stored(true),
                    2, way);
    network.run(program, {2, {0.3, 1}}, nullptr);
    CHECK(plain == sliced);
    CHECK(plain[0] > 0 && plain[1] == 0 && plain[0] != plain[rows]);
  }
}

TEST("network run: values share memory, live ones never") {
  // A chain with a residual: x, a = f(x), b = f(a), c = f(b), y = c + x.
  Program program;
  const auto value = [](Value::Source source, void* memory) { return Value{100, source, memory}; };
  int32_t given[100] = {};
  program.values = {value(Value::Source::kEachCandidate, given), value(Value::Source::kComputed, nullptr),
                    value(Value::Source::kComputed, nullptr),    value(Value::Source::kComputed, nullptr),
                    value(Value::Source::kComputed, nullptr),    value(Value::Source::kComputed, nullptr)};
  const auto linear = [](uint32_t out, uint32_t in) {
    return op(OpKind::kLinear, out, {in}, {0}, {10, 10, 10, 0});
  };
  program.ops = {linear(1, 0), linear(2, 1), linear(3, 2), linear(4, 3),
                 op(OpKind::kAdd, 5, {4, 1}, {}, {100})};
  const uint64_t one = 112;
  const MemoryPlan plan(program, 3);
  // 1 lives to the end; 2, 3 and 4 take turns in two places; 5 takes over that of 4.
  CHECK_EQ(plan.floats, 3 * 3 * one);
  CHECK_EQ(plan.places[5].offset, plan.places[4].offset);
  CHECK(plan.places[2].offset != plan.places[1].offset && plan.places[3].offset != plan.places[1].offset);
  CHECK(plan.places[3].offset != plan.places[2].offset && plan.places[4].offset != plan.places[3].offset);
  CHECK_EQ(MemoryPlan(program, 1).floats, 3 * one);
  CHECK_EQ(plan.places[0].offset, MemoryPlan::kElsewhere);
}

TEST("network run: in memory of their own, given values are there from the start, wanted ones to the end") {
  // x, a = f(x), b = g(a) that is wanted, c = b + a, d = h(c) that is wanted; z is given and read by nobody.
  float x[100] = {}, z[100] = {}, b[100], d[100];
  const auto computed = [](void* memory) { return Value{100, Value::Source::kComputed, memory}; };
  Program program;
  program.values = {{100, Value::Source::kFloats, x},
                    {100, Value::Source::kEachCandidate, z},
                    computed(nullptr),
                    computed(b),
                    computed(nullptr),
                    computed(d)};
  const auto linear = [](uint32_t out, uint32_t in) {
    return op(OpKind::kLinear, out, {in}, {0}, {10, 10, 10, 0});
  };
  program.ops = {linear(2, 0), op(OpKind::kActivation, 3, {2}, {}, {100, 0}),
                 op(OpKind::kAdd, 4, {3, 2}, {}, {100}), op(OpKind::kActivation, 5, {4}, {}, {100, 0})};
  const uint64_t one = 112, candidates = 3;
  const MemoryPlan plan(program, candidates, MemoryPlan::Memory::kOwn);
  const auto& places = plan.places;
  CHECK(places[0].shared && places[0].offset != MemoryPlan::kElsewhere);
  CHECK_EQ(places[1].offset, MemoryPlan::kElsewhere);
  // b cannot take over a, which is read once more, nor c the wanted b; d takes over c.
  CHECK(places[3].offset != places[2].offset && places[4].offset != places[3].offset);
  CHECK_EQ(places[5].offset, places[4].offset);
  CHECK_EQ(plan.floats, one + 3 * candidates * one);
}

TEST("network run: what depends on no parameter is computed once for all candidates") {
  Program program;
  float pixels[48] = {}, out[48];
  program.values = {{48, Value::Source::kFloats, pixels},
                    {48, Value::Source::kComputed, nullptr},
                    {48, Value::Source::kComputed, out}};
  program.ops = {op(OpKind::kPatches, 1, {0}, {}, {1, 3, 4, 4, 2}),
                 op(OpKind::kRmsNorm, 2, {1}, {0}, {4, 12})};
  const MemoryPlan plan(program, 5);
  CHECK(plan.places[1].shared);
  CHECK(!plan.places[2].shared);
  CHECK_EQ(plan.floats, 48u);
}

TEST("network run: a damaged program is an error or another program, never a wrong address") {
  std::mt19937_64 random(13);
  size_t refused = 0;
  for (int round = 0; round < 3000; round++) {
    Model model(1);
    const uint64_t choices[] = {0, 1, 2, 3, 5, 9, kRows, kInputs, kHidden, 1ull << 31, (1ull << 52) - 1};
    const uint64_t number = choices[random() % std::size(choices)];
    Op& damaged = model.program.ops[random() % model.program.ops.size()];
    switch (random() % 6) {
      case 0:
        damaged.kind = static_cast<OpKind>(random() % kOpKinds);
        break;
      case 1:
        damaged.out = static_cast<uint32_t>(number);
        break;
      case 2:
        damaged.value[random() % kOpValues] = static_cast<uint32_t>(number);
        break;
      case 3:
        damaged.parameter[random() % kOpParameters] = static_cast<uint32_t>(number);
        break;
      case 4:
        damaged.size[random() % kOpSizes] = number;
        break;
      default:
        model.program.values[1 + random() % 5].count = number;
    }
    try {
      model.run({0.3, 0.3, 0.3, 0.3, 0.3}, false, ProductWay::kAuto);
    } catch (const Error&) {
      refused++;
    }
  }
  // What is left changes a number that the operation does not read, or to what it was.
  CHECK(refused > 1500 && refused < 3000);
}

TEST("network run: programs that do not fit together are refused") {
  const auto refused = [](auto change) {
    Model model(1);
    change(model);
    bool thrown = false;
    try {
      model.run({0, 0, 0, 0, 0}, false, ProductWay::kAuto);
    } catch (const Error& error) {
      thrown = error.code() == "ERR_INTERNAL_ARGUMENT";
    }
    CHECK(thrown);
  };
  refused([](Model& m) { m.ids[2] = 7; });
  refused([](Model& m) { m.ids[2] = -1; });
  refused([](Model& m) { m.program.ops[1].size[2]--; });
  refused([](Model& m) { m.program.ops[1].parameter[0] = 9; });
  refused([](Model& m) { m.program.ops[1].parameter[0] = kNone; });
  refused([](Model& m) { m.program.ops[2].value[0] = 4; });  // not written yet
  refused([](Model& m) { m.program.ops[2].value[0] = 0; });  // whole numbers
  refused([](Model& m) { m.program.ops[2].value[0] = kNone; });
  refused([](Model& m) { m.program.ops[2].size[1] = kActivations; });
  refused([](Model& m) { m.program.ops[3].out = 3; });  // written twice
  refused([](Model& m) { m.program.ops[3].out = 99; });
  refused([](Model& m) { m.program.values[1].count++; });
  refused([](Model& m) { m.program.values[0].memory = nullptr; });
  refused([](Model& m) { m.program.ops[5].value[3] = 1; });  // more values than it takes
}

}  // namespace wisemerge::test
