// Training on a device: gradients of whole programs and runs of AdamW, against the CPU bit for bit. That the
// CPU's gradients are right is the matter of train_gradient_test.cc.
#include "cuda_parity_training.h"

#include <cmath>

#include "core/engine.h"
#include "core/status.h"
#include "cpu/cpu_backend.h"
#include "network_programs.h"
#include "train/loss.h"
#include "train/trainer.h"

namespace wisemerge::test {
namespace {

using namespace wisemerge::train;
using network::Activation;

struct TrainingCase {
  std::string name;
  ProgramDraft (*draft)(uint64_t samples);
};

// The pictures of a ViT, its attention packed.
ProgramDraft vit_draft(uint64_t samples) {
  constexpr uint64_t kWidth = 24, kSize = 16, kPatch = 4;
  ProgramDraft d(samples, 3 * kSize * kSize);
  uint32_t x = d.linear(d.patches(0, 3, kSize, kPatch), 3 * kPatch * kPatch, kWidth);
  x = d.prefix(x, kWidth, 1);
  for (int layer = 0; layer < 2; layer++) x = encoder_block(d, x, kWidth, {3, 3, 8}, Activation::kGelu);
  d.linear(d.pick(d.norm(x, kWidth), kWidth, std::vector<int32_t>(samples, 0)), kWidth, 7);
  return d;
}

// CLIP's tower: queries, keys and values apart, pooled by the mean, normalised; an odd number of classes, so
// that tensors behind others are not aligned.
ProgramDraft clip_draft(uint64_t samples) {
  constexpr uint64_t kWidth = 21;
  ProgramDraft d(samples, 3 * 8 * 8);
  uint32_t x = d.norm(d.prefix(d.linear(d.patches(0, 3, 8, 4), 48, kWidth, false), kWidth, 1), kWidth);
  const uint32_t in = d.norm(x, kWidth, true, false);
  const uint32_t q = d.linear(in, kWidth, kWidth), k = d.linear(in, kWidth, kWidth);
  const uint32_t v = d.linear(in, kWidth, kWidth, true, true);
  x = d.add(x, d.linear(d.attention(q, k, v, {3, 3, 7}), kWidth, kWidth));
  const uint32_t inner =
      d.activation(d.linear(d.norm(x, kWidth), kWidth, 2 * kWidth), Activation::kQuickGelu);
  x = d.add(x, d.linear(inner, 2 * kWidth, kWidth));
  const uint32_t embeds = d.linear(d.norm(d.mean(x, kWidth, 1), kWidth), kWidth, 13, false, true);
  d.linear(d.normalise(embeds, 13), 13, 5, false);
  return d;
}

// Rows of features through an MLP: the input is read by the reverse pass.
ProgramDraft mlp_draft(uint64_t samples) {
  ProgramDraft d(samples, 30);
  const uint32_t hidden = d.activation(d.norm(d.linear(0, 30, 45), 45), Activation::kRelu);
  d.linear(d.activation(d.linear(hidden, 45, 17), Activation::kTanh), 17, 3);
  return d;
}

// Shared heads of keys, causal, with a window and a mask; tokens left over from a tile.
ProgramDraft attention_draft(uint64_t samples) {
  constexpr uint64_t kTokens = 37;
  ProgramDraft d(samples, kTokens * 5);
  const uint32_t x = d.linear(0, 5, 12);
  const ProgramDraft::Heads heads = {4, 2, 3, true, 9, padding_mask(samples, kTokens)};
  const uint32_t packed = d.linear(x, 12, 24);
  uint32_t y = d.attention(packed, packed, packed, heads);
  y = d.add(y, d.attention(d.linear(y, 12, 12), d.linear(x, 12, 6), d.linear(x, 12, 6), heads));
  d.linear(d.mean(d.activation(y, Activation::kSilu), 12, 2, padding_mask(samples, kTokens)), 12, 4);
  return d;
}

// Values with several readers, some of them twice.
ProgramDraft readers_draft(uint64_t samples) {
  ProgramDraft d(samples, 6);
  const uint32_t x = d.linear(0, 6, 6);
  const uint32_t y = d.add(d.activation(x, Activation::kGeluTanh), x);
  const uint32_t z = d.add(y, d.norm(y, 6));
  const uint32_t w = d.add(d.normalise(d.add(z, z), 6), d.linear(x, 6, 6));
  d.linear(d.add(w, d.prefix(z, 6, 0)), 6, 3);
  return d;
}

constexpr TrainingCase kCases[] = {
    {"ViT", vit_draft},         {"CLIP", clip_draft}, {"MLP", mlp_draft}, {"attention", attention_draft},
    {"readers", readers_draft},
};

std::shared_ptr<Engine> open(const WmBackend* backend, uint64_t memory = 0) {
  EngineOptions options;
  options.threads = 2;
  options.memory = memory;
  return std::make_shared<Engine>(backend, options);
}

// What a run on one backend makes.
struct Made {
  std::vector<float> parameters, first_moment, second_moment, gradient;
  std::vector<double> losses;

  bool operator==(const Made& other) const {
    const auto same = [](const auto& a, const auto& b) {
      return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(a[0])) == 0;
    };
    return same(parameters, other.parameters) && same(first_moment, other.first_moment) &&
           same(second_moment, other.second_moment) && same(gradient, other.gradient) &&
           same(losses, other.losses);
  }
};

// A network with its samples.
class TrainingRun {
 public:
  static constexpr uint64_t kBatch = 3, kSamples = 7;  // the last batch of an epoch is one sample

  explicit TrainingRun(const TrainingCase& one) : one_(one), whole_(one.draft(kBatch)), rest_(one.draft(1)) {
    const uint64_t inputs = whole_.count(0) / kBatch, classes = whole_.count(whole_.output) / kBatch;
    for (uint64_t i = 0; i < kSamples * inputs; i++) {
      features_.push_back(std::sin(0.37f * static_cast<float>(i)) + 0.1f);
    }
    for (uint64_t i = 0; i < kSamples; i++) labels_.push_back(static_cast<int32_t>(5 * i % classes));
    data_ = {kSamples, inputs, DType::kF32, reinterpret_cast<const uint8_t*>(features_.data()),
             labels_.data()};
    Random random(11);
    for (const uint64_t tensor : whole_.tensors) {
      for (uint64_t i = 0; i < tensor; i++) {
        start_.push_back(
            static_cast<float>(static_cast<double>(static_cast<int64_t>(random.next())) * 0x1p-64));
      }
    }
    reset();
  }

  const std::string& name() const { return one_.name; }
  Made& made() { return made_; }
  OptimizerArrays arrays() {
    return {made_.parameters.size(), made_.parameters.data(), made_.first_moment.data(),
            made_.second_moment.data()};
  }
  void reset() {
    made_ = {};
    made_.parameters = start_;
    made_.first_moment.assign(start_.size(), 0.0f);
    made_.second_moment.assign(start_.size(), 0.0f);
    made_.gradient.assign(start_.size(), 0.0f);
  }
  std::vector<BatchProgram> programs() const {
    return {{kBatch, 0, whole_.output, whole_.program}, {1, 0, rest_.output, rest_.program}};
  }

  // Two epochs and evaluations; `flag` is raised once in between.
  const Made& train(const std::shared_ptr<Engine>& engine, bool interrupted = false) {
    reset();
    TrainerOptions options;
    options.clip = 0.5;
    options.label_smoothing = 0.1;
    options.threads = 2;
    Trainer trainer(engine, whole_.tensors, programs(), arrays(), options);
    const auto evaluate = [&] { made_.losses.push_back(trainer.evaluate(data_, nullptr).loss); };
    evaluate();
    for (uint64_t epoch = 1; epoch <= 2; epoch++) {
      StepsCall call{data_, {9, epoch, epoch == 2}, kBatch, 0, 3 * (epoch - 1), {0, 1e-2, 3e-3}};
      if (interrupted) {
        const int32_t raised = 1;
        try {
          trainer.train(call, &raised);
          throw Error("ERR_INTERNAL_ARGUMENT", "a raised flag stops training");
        } catch (const Error& error) {
          if (error.code() != "ERR_ABORTED") throw;
        }
      }
      const StepsResult result = trainer.train(call, nullptr);
      made_.losses.insert(made_.losses.end(), result.losses.begin(), result.losses.end());
      made_.losses.push_back(result.largest_norm);
      evaluate();
      trainer.store(nullptr);
    }
    return made_;
  }

  // One gradient.
  const Made& differentiate(const std::shared_ptr<Engine>& engine) {
    reset();
    TrainedNetwork network(engine, whole_.tensors, programs(), arrays(), 2);
    ThreadPool pool(1);
    std::vector<double> rows;
    for (const uint64_t samples : {kBatch, uint64_t{1}, kBatch}) {
      std::copy_n(features_.data(), samples * network.inputs(), network.input());
      float* const logits = network.forward(samples, nullptr);
      made_.losses.push_back(
          cross_entropy(pool, logits, labels_.data(), samples, network.outputs(), 0.1, true, rows).loss);
      network.backward(samples, nullptr);
      made_.losses.push_back(network.gradient_norm(nullptr));
    }
    network.read_gradient(made_.gradient.data(), nullptr);
    return made_;
  }

 private:
  const TrainingCase one_;
  const ProgramDraft whole_, rest_;
  std::vector<float> features_, start_;
  std::vector<int32_t> labels_;
  TrainingData data_;
  Made made_;
};

void check_case(Tally& tally, const WmBackend* cuda, const TrainingCase& one) {
  TrainingRun run(one);
  const Made gradient = run.differentiate(open(wisemerge_cpu_backend()));
  float largest = 0;
  for (const float g : gradient.gradient) largest = std::fmax(largest, std::fabs(g));
  tally.expect(largest > 1e-3f, one.name + ": a gradient");
  tally.expect(run.differentiate(open(cuda)) == gradient, one.name + ": the CPU's gradient");
  const Made trained = run.train(open(wisemerge_cpu_backend()));
  tally.expect(trained.losses.back() < trained.losses.front(), one.name + ": learns");
  for (const bool ahead : {false, true}) {
    // For the runtime that replays kernels: uploads as early as they may.
    if (ahead) setenv("WISEMERGE_REPLAY_AHEAD", "1", 1);
    tally.expect(run.train(open(cuda), ahead) == trained, one.name + ": the CPU's training");
    unsetenv("WISEMERGE_REPLAY_AHEAD");
  }
}

// From too little memory for the parameters to enough for a batch.
void check_memory(Tally& tally, const WmBackend* cuda) {
  TrainingRun run({"ViT", vit_draft});
  const Made wanted = run.train(open(wisemerge_cpu_backend()));
  size_t parameters = 0, values = 0, ran = 0;
  for (uint64_t memory = 4096; memory < (64u << 20) && ran == 0; memory += memory / 4) {
    try {
      tally.expect(run.train(open(cuda, memory)) == wanted, "training in little memory: the same bits");
      ran++;
    } catch (const Error& error) {
      const std::string text = error.what();
      const bool of_values = text.find("smaller batch") != std::string::npos;
      parameters += text.find("train on the CPU") != std::string::npos;
      values += of_values;
      tally.expect(error.code() == "ERR_DEVICE_MEMORY" && (of_values || values == 0),
                   "little memory: " + text);
    }
  }
  tally.expect(parameters > 0 && values > 0 && ran == 1, "too little memory is refused");
}

// Calls that are wrong.
void check_training_calls(Tally& tally, const WmBackend* cuda) {
  Opened opened(cuda, 0), fast(cuda, 0, WM_FAST);
  WmError error = {};
  const int32_t f32 = static_cast<int32_t>(DType::kF32);
  float weights[] = {1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0}, out[4] = {};
  const WmParameter parameter = {4, f32, f32, weights, nullptr};
  const WmTraining training = {4, weights, weights + 4, weights + 8};
  const auto make = [&](const Opened& in) {
    WmNetwork* network = nullptr;
    tally.expect(cuda->network_open(in.context, &parameter, 1, WM_WAY_AUTO, &network, &error) == WM_OK,
                 error.message);
    return network;
  };
  const auto train = [&](const Opened& in, WmNetwork* network, const WmTraining& what) {
    return cuda->network_train(in.context, network, &what, nullptr, &error);
  };
  WmNetwork* const network = make(opened);
  double norm = 0;
  const WmReverse nothing = {};
  tally.expect(cuda->network_norm(opened.context, network, &norm, nullptr, &error) == WM_INVALID_ARGUMENT &&
                   cuda->network_reverse(opened.context, network, 0, &nothing, nullptr, &error) ==
                       WM_INVALID_ARGUMENT &&
                   cuda->network_read(opened.context, network, WM_GRADIENT, out, nullptr, &error) ==
                       WM_INVALID_ARGUMENT,
               "a network that is not trained");
  tally.expect(train(fast, make(fast), training) == WM_UNAVAILABLE, "training by tensor cores");
  tally.expect(train(opened, network, {5, weights, weights, weights}) == WM_INVALID_ARGUMENT,
               "numbers of no parameter");
  tally.expect(train(opened, network, {3, weights, weights, weights}) == WM_INVALID_ARGUMENT,
               "a parameter that is cut off");
  tally.expect(train(opened, network, {4, weights + 1, weights, weights}) == WM_INVALID_ARGUMENT,
               "a parameter that lies elsewhere");
  tally.expect(train(opened, network, training) == WM_OK, error.message);
  tally.expect(train(opened, network, training) == WM_INVALID_ARGUMENT, "a network is trained once");
  tally.expect(cuda->network_read(opened.context, network, 4, out, nullptr, &error) == WM_INVALID_ARGUMENT,
               "an unknown array");
  tally.expect(cuda->network_reverse_begin(opened.context, network, nullptr, 0, nullptr, &error) ==
                   WM_INVALID_ARGUMENT,
               "a reverse pass of no program");

  // y = x W^T for x = (1, 10), then dW = dy^T x, dx = dy W for dy = (1, -1), by hand.
  using network::OpKind;
  WmOperation operations[] = {
      {static_cast<int32_t>(OpKind::kLinear), {0, WM_NO_PARAMETER}, {1, 2, 2, 0}},
      {static_cast<int32_t>(OpKind::kGate), {WM_NO_PARAMETER, WM_NO_PARAMETER}, {2, 0}}};
  float input[] = {1, 10}, dy[] = {1, -1}, dx[2] = {};
  const WmTransfer given = {input, 0, 8}, gradient = {dy, 128, 8}, back = {dx, 192, 8};
  const WmProgram program = {2, 1, operations, &given, 256};
  tally.expect(cuda->network_begin(opened.context, network, &program, nullptr, &error) == WM_OK,
               error.message);
  tally.expect(cuda->network_reverse_begin(opened.context, network, &gradient, 1, nullptr, &error) == WM_OK,
               error.message);
  WmReverse reverse = {{0, WM_NO_VALUE, WM_NO_VALUE, WM_NO_VALUE},
                       {192, WM_NO_VALUE, WM_NO_VALUE, WM_NO_VALUE},
                       128,
                       WM_NO_VALUE,
                       {},
                       0};
  const auto run = [&](uint32_t at) {
    return cuda->network_reverse(opened.context, network, at, &reverse, nullptr, &error);
  };
  tally.expect(run(2) == WM_INVALID_ARGUMENT, "the gradient of an operation that there is not");
  tally.expect(run(1) == WM_INVALID_ARGUMENT, "the gradient of an operation that has none");
  reverse.out_gradient = 4096;
  tally.expect(run(0) == WM_INVALID_ARGUMENT, "a gradient outside the memory");
  reverse.out_gradient = 128;
  tally.expect(
      run(0) == WM_OK && cuda->network_finish(opened.context, network, &back, 1, nullptr, &error) == WM_OK,
      error.message);
  tally.expect(cuda->network_read(opened.context, network, WM_GRADIENT, out, nullptr, &error) == WM_OK &&
                   cuda->network_norm(opened.context, network, &norm, nullptr, &error) == WM_OK,
               error.message);
  tally.expect(dx[0] == -2 && dx[1] == -2 && out[0] == 1 && out[1] == 10 && out[2] == -1 && out[3] == -10 &&
                   norm == std::sqrt(202.0),
               "a gradient by hand");
  cuda->network_close(opened.context, network);
}

// More heads than are computed at once.
ProgramDraft long_draft(uint64_t samples) {
  constexpr uint64_t kTokens = 2100;
  ProgramDraft d(samples, kTokens);
  const uint32_t packed = d.linear(0, 1, 12);
  d.linear(d.mean(d.attention(packed, packed, packed, {2, 2, 2}), 4, 0), 4, 3);
  return d;
}

}  // namespace

void check_training(Tally& tally, const WmBackend* cuda, bool reduced) {
  for (const TrainingCase& one : kCases) check_case(tally, cuda, one);
  if (!reduced) {
    TrainingRun run({"long sequences", long_draft});
    const Made wanted = run.differentiate(open(wisemerge_cpu_backend()));
    tally.expect(run.differentiate(open(cuda)) == wanted, run.name() + ": the CPU's gradient");
  }
  check_memory(tally, cuda);
  check_training_calls(tally, cuda);
}

}  // namespace wisemerge::test
