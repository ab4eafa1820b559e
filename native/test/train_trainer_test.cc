// Whole runs: what they learn, and that threads and the cutting into calls change no bit.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include "check.h"
#include "core/status.h"
#include "cpu/cpu_backend.h"
#include "program_reference.h"
#include "train/trainer.h"
#include "wisemerge/convert.h"

namespace wisemerge::test {
namespace {

using namespace wisemerge::train;

constexpr uint64_t kSamples = 203, kDimension = 10, kHidden = 33, kClasses = 3;

struct Problem {
  std::vector<float> features;
  std::vector<int32_t> labels;

  // Classes apart along axes of their own.
  Problem() {
    std::mt19937_64 random(1);
    std::normal_distribution<float> normal(0, 0.3f);
    for (uint64_t i = 0; i < kSamples; i++) {
      labels.push_back(static_cast<int32_t>(i % kClasses));
      for (uint64_t j = 0; j < kDimension; j++) {
        features.push_back(normal(random) + (j == i % kClasses ? 2.0f : 0.0f));
      }
    }
  }
  TrainingData data() const {
    return {kSamples, kDimension, DType::kF32, reinterpret_cast<const uint8_t*>(features.data()),
            labels.data()};
  }
};

ProgramDraft draft_of(uint64_t samples) {
  ProgramDraft draft(samples, kDimension);
  const uint32_t hidden = draft.norm(draft.linear(0, kDimension, kHidden), kHidden);
  draft.linear(draft.activation(hidden, network::Activation::kGelu), kHidden, kClasses, false);
  return draft;
}

BatchProgram program_of(const ProgramDraft& draft) { return {draft.samples, 0, draft.output, draft.program}; }

struct Model {
  std::vector<uint64_t> tensors = draft_of(1).tensors;
  std::vector<float> parameters, first_moment, second_moment;

  Model() {
    std::mt19937_64 random(2);
    std::normal_distribution<float> normal(0, 0.2f);
    for (size_t t = 0; t < tensors.size(); t++) {
      // The third is the norm's weight.
      for (uint64_t i = 0; i < tensors[t]; i++) parameters.push_back(t == 2 ? 1 : normal(random));
    }
    first_moment.resize(parameters.size());
    second_moment.resize(parameters.size());
  }
  OptimizerArrays arrays() {
    return {parameters.size(), parameters.data(), first_moment.data(), second_moment.data()};
  }
  // For batches of `rows` samples, and what they leave of all samples.
  static std::vector<BatchProgram> programs(uint64_t rows) {
    return {program_of(draft_of(rows)), program_of(draft_of(kSamples % rows))};
  }
};

TrainerOptions options(int threads) {
  TrainerOptions all;
  all.label_smoothing = 0.1;
  all.clip = 1;
  all.threads = threads;
  return all;
}

constexpr uint64_t kBatch = 32, kSteps = (kSamples + kBatch - 1) / kBatch;

// `epochs` epochs, in calls of `steps` steps.
void train_epochs(Trainer& trainer, const Problem& problem, uint64_t epochs, uint64_t steps,
                  bool balanced = false) {
  for (uint64_t epoch = 1; epoch <= epochs; epoch++) {
    for (uint64_t first = 0; first < kSteps; first += steps) {
      const std::vector<double> rates(std::min(steps, kSteps - first), 3e-3);
      const StepsCall call{problem.data(), {9, epoch, balanced},         kBatch,
                           first,          (epoch - 1) * kSteps + first, rates};
      CHECK_EQ(trainer.train(call, nullptr).diverged, StepsResult::kNone);
    }
  }
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

TEST("train trainer: learns what can be separated") {
  const Problem problem;
  for (const bool balanced : {false, true}) {
    Model model;
    const auto engine = std::make_shared<Engine>(wisemerge_cpu_backend(), EngineOptions{0, 1, ""});
    Trainer trainer(engine, model.tensors, Model::programs(kBatch), model.arrays(), options(1));
    const LossSums before = trainer.evaluate(problem.data(), nullptr);
    train_epochs(trainer, problem, 12, kSteps, balanced);
    const LossSums after = trainer.evaluate(problem.data(), nullptr);
    CHECK(before.correct < kSamples);
    CHECK_EQ(after.correct, kSamples);
    CHECK(after.loss < 0.3 * before.loss);
  }
}

TEST("train trainer: threads, SIMD level and calls change no bit") {
  const Problem problem;
  Model reference;
  {
    const auto engine = std::make_shared<Engine>(wisemerge_cpu_backend(), EngineOptions{0, 1, ""});
    Trainer trainer(engine, reference.tensors, Model::programs(kBatch), reference.arrays(), options(1));
    train_epochs(trainer, problem, 3, kSteps);
  }
  struct Way {
    int threads;
    const char* isa;
    uint64_t steps;
  };
  for (const Way& way : {Way{3, "", kSteps}, Way{1, "baseline", kSteps}, Way{2, "avx2", 2}, Way{1, "", 1}}) {
    Model model;
    const auto engine =
        std::make_shared<Engine>(wisemerge_cpu_backend(), EngineOptions{0, way.threads, way.isa});
    Trainer trainer(engine, model.tensors, Model::programs(kBatch), model.arrays(), options(way.threads));
    train_epochs(trainer, problem, 3, way.steps);
    CHECK(same_bits(model.parameters, reference.parameters));
    CHECK(same_bits(model.first_moment, reference.first_moment));
    CHECK(same_bits(model.second_moment, reference.second_moment));
  }
}

TEST("train trainer: large layers have the same bits with any threads") {
  // Wide enough that the passes are shared out.
  constexpr uint64_t kWide = 600, kRows = 200;
  std::vector<float> features(kRows * kWide);
  std::vector<int32_t> labels;
  std::mt19937_64 random(5);
  std::normal_distribution<float> normal;
  for (float& x : features) x = normal(random);
  for (uint64_t i = 0; i < kRows; i++) labels.push_back(static_cast<int32_t>(i % kWide));
  std::vector<float> first;
  for (const int threads : {1, 2, 4}) {
    ProgramDraft draft(kRows, kWide);
    const uint32_t inner = draft.activation(draft.norm(0, kWide), network::Activation::kGelu);
    draft.linear(inner, kWide, kWide);
    const uint64_t count = 2 * kWide + kWide * kWide + kWide;
    std::vector<float> parameters(count, 0.01f), m(count), v(count);
    const auto engine = std::make_shared<Engine>(wisemerge_cpu_backend(), EngineOptions{0, threads, ""});
    Trainer trainer(engine, draft.tensors, {program_of(draft)},
                    {count, parameters.data(), m.data(), v.data()}, options(threads));
    const TrainingData data{kRows, kWide, DType::kF32, reinterpret_cast<const uint8_t*>(features.data()),
                            labels.data()};
    trainer.train({data, {1, 1, false}, kRows, 0, 0, {1e-3}}, nullptr);
    trainer.train({data, {1, 2, false}, kRows, 0, 1, {1e-3}}, nullptr);
    if (first.empty()) first = parameters;
    CHECK(same_bits(parameters, first));
  }
}

TEST("train trainer: features of 16 bits count as their values") {
  Problem problem;
  std::vector<uint16_t> half, brain;
  std::vector<float> rounded_half, rounded_brain;
  for (const float x : problem.features) {
    half.push_back(f32_to_f16(x));
    brain.push_back(f32_to_bf16(x));
    rounded_half.push_back(f16_to_f32(half.back()));
    rounded_brain.push_back(bf16_to_f32(brain.back()));
  }
  Model model;
  const auto engine = std::make_shared<Engine>(wisemerge_cpu_backend(), EngineOptions{0, 1, ""});
  Trainer trainer(engine, model.tensors, Model::programs(50), model.arrays(), options(1));
  const auto loss = [&](DType dtype, const void* features) {
    const TrainingData data{kSamples, kDimension, dtype, static_cast<const uint8_t*>(features),
                            problem.labels.data()};
    return trainer.evaluate(data, nullptr).loss;
  };
  CHECK_EQ(loss(DType::kF16, half.data()), loss(DType::kF32, rounded_half.data()));
  CHECK_EQ(loss(DType::kBF16, brain.data()), loss(DType::kF32, rounded_brain.data()));
}

TEST("train trainer: a loss that is not finite stops before the update") {
  Problem problem;
  Model model;
  const auto engine = std::make_shared<Engine>(wisemerge_cpu_backend(), EngineOptions{0, 1, ""});
  Trainer trainer(engine, model.tensors, Model::programs(kBatch), model.arrays(), options(1));
  const Sampling sampling{1, 1, false};
  const uint32_t bad = epoch_order(problem.labels.data(), kSamples, sampling)[2 * kBatch + 1];
  problem.features[bad * kDimension] = std::numeric_limits<float>::quiet_NaN();
  const StepsResult result =
      trainer.train({problem.data(), sampling, kBatch, 0, 0, std::vector<double>(kSteps, 1e-3)}, nullptr);
  CHECK_EQ(result.diverged, uint64_t{2});
  CHECK_EQ(result.samples, 2 * kBatch);
  for (const float p : model.parameters) CHECK(std::isfinite(p));
  for (const float m : model.first_moment) CHECK(std::isfinite(m));
}

TEST("train trainer: refuses what it cannot do, and stops when told") {
  Problem problem;
  Model model;
  const auto engine = std::make_shared<Engine>(wisemerge_cpu_backend(), EngineOptions{0, 1, ""});
  Trainer trainer(engine, model.tensors, Model::programs(kBatch), model.arrays(), options(1));
  const auto code = [&](auto change, WmCancelFlag cancelled = nullptr) -> std::string {
    StepsCall call{problem.data(), {1, 1, false}, kBatch, 0, 0, {1e-3}};
    change(call);
    try {
      trainer.train(call, cancelled);
      return "none";
    } catch (const Error& error) {
      return error.code();
    }
  };
  const auto as_is = [](StepsCall&) {};
  CHECK_EQ(code(as_is), "none");
  CHECK_EQ(code([](StepsCall& call) { call.batch = 0; }), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code([](StepsCall& call) { call.batch = kBatch + 1; }), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code([](StepsCall& call) { call.first = kSteps; }), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code([](StepsCall& call) { call.data.dimension = 9; }), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code([](StepsCall& call) { call.data.dtype = DType::kF64; }), "ERR_INTERNAL_ARGUMENT");
  const int32_t raised = 1;
  CHECK_EQ(code(as_is, &raised), "ERR_ABORTED");
  problem.labels.assign(kSamples, 3);
  CHECK_EQ(code(as_is), "ERR_INTERNAL_RANGE");
}

}  // namespace wisemerge::test
