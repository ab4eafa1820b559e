// Reverse passes against central differences of the loss in f64, through a forward pass of its own.
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "check.h"
#include "core/engine.h"
#include "core/status.h"
#include "cpu/cpu_backend.h"
#include "program_reference.h"
#include "train/loss.h"
#include "train/trained_network.h"

namespace wisemerge::test {
namespace {

using namespace wisemerge::train;
using network::Activation;
using network::OpKind;

constexpr double kSmoothing = 0.1;

// Parameters and moments, 0.
struct Arrays {
  std::vector<float> parameters, first_moment, second_moment;

  explicit Arrays(const ProgramDraft& draft) {
    uint64_t count = 0;
    for (const uint64_t tensor : draft.tensors) count += tensor;
    for (auto* array : {&parameters, &first_moment, &second_moment}) array->resize(count);
  }
  OptimizerArrays all() {
    return {parameters.size(), parameters.data(), first_moment.data(), second_moment.data()};
  }
};

struct Run {
  std::vector<float> parameters, input, gradient;
  std::vector<int32_t> labels;
  double loss = 0;  // mean
};

Run run(const ProgramDraft& draft, int threads = 2, const char* isa = "", float spread = 0.7f) {
  std::mt19937_64 random(11);
  std::normal_distribution<float> normal;
  Run made;
  Arrays arrays(draft);
  const size_t count = arrays.parameters.size();
  for (float& parameter : arrays.parameters) parameter = spread * normal(random);
  made.parameters = arrays.parameters;
  for (uint64_t i = 0; i < draft.count(0); i++) made.input.push_back(normal(random));
  TrainedNetwork trained(std::make_shared<Engine>(wisemerge_cpu_backend(), EngineOptions{0, threads, isa}),
                         draft.tensors, {{draft.samples, 0, draft.output, draft.program}}, arrays.all(),
                         threads);
  std::copy(made.input.begin(), made.input.end(), trained.input());
  for (uint64_t i = 0; i < draft.samples; i++) {
    made.labels.push_back(static_cast<int32_t>(random() % trained.outputs()));
  }
  float* const logits = trained.forward(draft.samples, nullptr);
  ThreadPool pool(1);
  std::vector<double> losses;
  const LossSums sums = cross_entropy(pool, logits, made.labels.data(), draft.samples, trained.outputs(),
                                      kSmoothing, true, losses);
  made.loss = sums.loss / static_cast<double>(draft.samples);
  made.gradient.assign(count, 123.0f);
  trained.backward(draft.samples, nullptr);
  trained.read_gradient(made.gradient.data(), nullptr);
  return made;
}

double reference_loss(const ProgramDraft& draft, const Doubles& parameters, const Doubles& input,
                      const std::vector<int32_t>& labels) {
  const Doubles logits = ProgramReference(draft, parameters, input).run();
  const size_t classes = logits.size() / labels.size();
  double total = 0;
  for (size_t i = 0; i < labels.size(); i++) {
    const double* const z = logits.data() + i * classes;
    double sum = 0, mean = 0;
    for (size_t c = 0; c < classes; c++) {
      sum += std::exp(z[c]);
      mean += z[c] / static_cast<double>(classes);
    }
    total += std::log(sum) - (1 - kSmoothing) * z[labels[i]] - kSmoothing * mean;
  }
  return total / static_cast<double>(labels.size());
}

// Every gradient, or every `stride`-th.
void check(const ProgramDraft& draft, size_t stride = 1, float spread = 0.7f) {
  const Run found = run(draft, 2, "", spread);
  Doubles exact(found.parameters.begin(), found.parameters.end());
  const Doubles input(found.input.begin(), found.input.end());
  const auto loss = [&] { return reference_loss(draft, exact, input, found.labels); };
  CHECK(std::abs(found.loss - loss()) < 1e-5);
  constexpr double kStep = 1e-5;
  double largest = 0;
  for (size_t i = 0; i < exact.size(); i += stride) {
    const double middle = exact[i];
    exact[i] = middle + kStep;
    const double above = loss();
    exact[i] = middle - kStep;
    const double below = loss();
    exact[i] = middle;
    const double slope = (above - below) / (2 * kStep), got = static_cast<double>(found.gradient[i]);
    largest = std::max(largest, std::abs(slope));
    if (!(std::abs(got - slope) <= 2e-5 * (1 + std::abs(slope)))) {
      CHECK_EQ(got, slope);  // prints both
      CHECK_EQ(i, exact.size());
    }
  }
  // A network that is flat would prove nothing.
  CHECK(largest > 1e-3);
}

// A block of ViT; `wide`: numbers of a token.
uint32_t block(ProgramDraft& draft, uint32_t x, uint64_t wide, uint64_t heads, Activation activation) {
  const uint32_t normed = draft.norm(x, wide);
  const uint32_t q = draft.linear(normed, wide, wide), k = draft.linear(normed, wide, wide),
                 v = draft.linear(normed, wide, wide);
  const uint32_t attended = draft.linear(draft.attention(q, k, v, {heads, heads, wide / heads}), wide, wide);
  const uint32_t middle = draft.add(attended, x);
  const uint32_t inner = draft.activation(draft.linear(draft.norm(middle, wide), wide, 2 * wide), activation);
  return draft.add(draft.linear(inner, 2 * wide, wide), middle);
}

// 6 x 6 pictures of 2 channels in 4 patches, with a class token.
ProgramDraft vit(uint64_t samples) {
  ProgramDraft draft(samples, 2 * 6 * 6);
  uint32_t x = draft.linear(draft.patches(0, 2, 6, 3), 18, 8);
  x = draft.prefix(x, 8, 1);
  for (int layer = 0; layer < 2; layer++) x = block(draft, x, 8, 2, Activation::kGelu);
  const std::vector<int32_t> first(samples, 0);
  draft.linear(draft.norm(draft.pick(x, 8, first), 8), 8, 5);
  return draft;
}

// Samples of `tokens` rows, projected to queries, keys and values side by side.
ProgramDraft attending(uint64_t tokens, const ProgramDraft::Heads& heads, uint64_t samples = 2) {
  ProgramDraft draft(samples, tokens * 5);
  const uint64_t wide = (heads.heads + 2 * heads.kv_heads) * heads.dim;
  const uint32_t packed = draft.linear(0, 5, wide);
  const uint32_t out = draft.attention(packed, packed, packed, heads);
  draft.linear(draft.mean(out, heads.heads * heads.dim, 0), heads.heads * heads.dim, 3);
  return draft;
}

}  // namespace

TEST("train gradient: linear layers, either way round") {
  for (const bool transposed : {false, true}) {
    for (const bool biased : {false, true}) {
      ProgramDraft head(6, 7);
      head.linear(0, 7, 5, biased, transposed);
      check(head);
      ProgramDraft two(3, 4);
      two.linear(two.linear(0, 4, 9, biased, transposed), 9, 3, true, transposed);
      check(two);
    }
  }
}

TEST("train gradient: every activation") {
  for (uint64_t kind = 0; kind < network::kActivations; kind++) {
    ProgramDraft draft(6, 6);
    const uint32_t inner = draft.activation(draft.linear(0, 6, 9), static_cast<Activation>(kind));
    draft.linear(inner, 9, 4);
    check(draft);
  }
}

TEST("train gradient: layer normalisation before, between and behind") {
  for (const bool weight : {false, true}) {
    for (const bool bias : {false, true}) {
      ProgramDraft draft(6, 6);
      const uint32_t first = draft.linear(draft.norm(0, 6, weight, bias), 6, 17);
      const uint32_t inner = draft.activation(draft.norm(first, 17, weight, bias), Activation::kGelu);
      draft.norm(draft.linear(inner, 17, 4), 4, weight, bias);
      check(draft);
    }
  }
}

TEST("train gradient: rows of length 1") {
  ProgramDraft draft(5, 6);
  draft.linear(draft.normalise(draft.linear(0, 6, 19), 19), 19, 4);
  check(draft);
}

TEST("train gradient: tokens in front, and positions") {
  for (const uint64_t front : {0u, 1u, 2u}) {
    for (const bool positions : {false, true}) {
      ProgramDraft draft(3, 4 * 5);
      const uint32_t x = draft.prefix(draft.linear(0, 5, 6), 6, front, positions);
      draft.linear(draft.mean(draft.activation(x, Activation::kTanh), 6, 0), 6, 4);
      check(draft);
    }
  }
}

TEST("train gradient: a token of each sequence, or the mean of some") {
  ProgramDraft picked(3, 4 * 5);
  picked.linear(picked.pick(picked.linear(0, 5, 6), 6, {3, 0, 2}), 6, 4);
  check(picked);
  ProgramDraft masked(2, 4 * 5);
  masked.linear(masked.mean(masked.linear(0, 5, 6), 6, 1, {1, 0, 1, 1, 0, 1, 0, 0}), 6, 4);
  check(masked);
}

TEST("train gradient: attention") {
  check(attending(5, {2, 2, 4}));
  check(attending(7, {4, 2, 3}));
  check(attending(6, {4, 1, 2, true}));
  check(attending(9, {2, 2, 3, true, 4}));
  check(attending(4, {2, 2, 3, false, 0, {1, 1, 0, 1, 0, 1, 0, 0}}));
  // A sequence in which nobody is attended to.
  check(attending(3, {2, 1, 3, false, 0, {0, 0, 0, 1, 1, 1}}));
}

TEST("train gradient: attention over several blocks of queries") {
  check(attending(203, {2, 1, 3}, 1), 7);
  check(attending(130, {1, 1, 20, true, 50}, 1), 41);
}

TEST("train gradient: values with several readers") {
  ProgramDraft residual(4, 6);
  const uint32_t x = residual.linear(0, 6, 6);
  const uint32_t y = residual.add(residual.activation(x, Activation::kGelu), x);
  const uint32_t z = residual.add(y, residual.norm(y, 6));
  residual.linear(residual.add(residual.add(z, z), residual.linear(x, 6, 6)), 6, 3);
  check(residual);
  // The first term of a sum has been read behind it.
  ProgramDraft late(4, 5);
  const uint32_t a = late.linear(0, 5, 5), b = late.linear(0, 5, 5);
  const uint32_t sum = late.add(a, b);
  late.linear(late.add(late.normalise(a, 5), late.activation(sum, Activation::kTanh)), 5, 3);
  check(late);
}

TEST("train gradient: a whole ViT, with any threads and SIMD level the same bits") {
  const ProgramDraft draft = vit(3);
  check(draft, 1, 0.4f);
  const Run reference = run(draft, 1, "", 0.4f);
  for (const int threads : {1, 3}) {
    for (const char* isa : {"baseline", "avx2", ""}) {
      const Run other = run(draft, threads, isa, 0.4f);
      CHECK(std::memcmp(other.gradient.data(), reference.gradient.data(), 4 * reference.gradient.size()) ==
            0);
    }
  }
}

TEST("train gradient: CLIP's tower, pooled by the mean and normalised") {
  ProgramDraft draft(2, 3 * 4 * 4);
  uint32_t x = draft.prefix(draft.linear(draft.patches(0, 3, 4, 2), 12, 6, false), 6, 1);
  x = block(draft, draft.norm(x, 6), 6, 3, Activation::kQuickGelu);
  const uint32_t embeds = draft.linear(draft.norm(draft.mean(x, 6, 1), 6), 6, 7, false, true);
  draft.linear(draft.normalise(embeds, 7), 7, 4);
  check(draft);
}

TEST("train gradient: parameters that no logit depends on get 0") {
  ProgramDraft draft(4, 5);
  draft.tensor(3);
  const uint32_t x = draft.linear(0, 5, 6);
  draft.normalise(draft.linear(x, 6, 7), 7);  // a second result
  draft.linear(x, 6, 3);
  check(draft);
  const Run found = run(draft);
  for (size_t i = 0; i < 3; i++) CHECK_EQ(found.gradient[i], 0.0f);
}

TEST("train gradient: memory of gradients is used again") {
  ProgramDraft deep(8, 64);
  uint32_t x = 0;
  for (int layer = 0; layer < 20; layer++) x = deep.linear(x, 64, 64);
  const GradientPlan plan(deep.program, deep.output);
  // What is kept: the result of every layer. Gradients take turns in two places.
  CHECK_EQ(plan.floats, (20u + 2u) * 8 * 64);
}

TEST("train gradient: tensors are counted without wrapping around") {
  ProgramDraft draft(3, 4);
  draft.linear(0, 4, 2);
  Arrays arrays(draft);
  std::vector<uint64_t> tensors = draft.tensors;
  tensors.insert(tensors.end(), {uint64_t{1} << 63, uint64_t{1} << 63});
  std::string code = "none";
  try {
    TrainedNetwork(std::make_shared<Engine>(wisemerge_cpu_backend(), EngineOptions{0, 1, ""}), tensors,
                   {{3, 0, draft.output, draft.program}}, arrays.all(), 1);
  } catch (const Error& error) {
    code = error.code();
  }
  CHECK_EQ(code, "ERR_INTERNAL_ARGUMENT");
}

TEST("train gradient: programs that cannot be trained are refused") {
  const auto code = [](const ProgramDraft& draft, uint64_t samples, uint32_t output) -> std::string {
    Arrays arrays(draft);
    try {
      TrainedNetwork(std::make_shared<Engine>(wisemerge_cpu_backend(), EngineOptions{0, 1, ""}),
                     draft.tensors, {{samples, 0, output, draft.program}}, arrays.all(), 1);
      return "none";
    } catch (const Error& error) {
      return error.code();
    }
  };
  ProgramDraft good(3, 4);
  const uint32_t x = good.linear(0, 4, 6);
  good.linear(x, 6, 2);
  CHECK_EQ(code(good, 3, good.output), "none");
  CHECK_EQ(code(good, 0, good.output), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code(good, 4, good.output), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code(good, 3, 0), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code(good, 3, 99), "ERR_INTERNAL_ARGUMENT");
  ProgramDraft twice = good;
  twice.program.ops[1].parameter[1] = network::kNone;
  twice.op(OpKind::kLinear, 3 * 6, {0}, {0}, {3, 4, 6, 0});
  CHECK_EQ(code(twice, 3, twice.output), "ERR_INTERNAL_ARGUMENT");
  ProgramDraft gated = good;
  gated.op(OpKind::kGate, 6, {gated.output, gated.output}, {}, {6, 0});
  CHECK_EQ(code(gated, 3, gated.output), "ERR_INTERNAL_ARGUMENT");
  ProgramDraft given(1, 6);
  given.linear(given.attention(0, 0, 0, {2, 2, 1}), 2, 1);
  CHECK_EQ(code(given, 1, given.output), "none");
  given = ProgramDraft(1, 6);
  given.linear(given.attention(0, given.linear(0, 6, 6), given.linear(0, 6, 6), {2, 2, 3}), 6, 2);
  CHECK_EQ(code(given, 1, given.output), "ERR_INTERNAL_ARGUMENT");
}

TEST("train gradient: a batch without a program is refused") {
  const ProgramDraft draft = vit(3);
  Arrays arrays(draft);
  TrainedNetwork trained(std::make_shared<Engine>(wisemerge_cpu_backend(), EngineOptions{0, 1, ""}),
                         draft.tensors, {{3, 0, draft.output, draft.program}}, arrays.all(), 1);
  bool thrown = false;
  try {
    trained.forward(2, nullptr);
  } catch (const Error& error) {
    thrown = error.code() == "ERR_INTERNAL_ARGUMENT";
  }
  CHECK(thrown);
}

}  // namespace wisemerge::test
