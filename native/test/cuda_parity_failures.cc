#include "cuda_parity_failures.h"

#include <cmath>
#include <deque>
#include <optional>

#include "core/engine.h"
#include "core/host_buffer.h"
#include "core/status.h"
#include "head_cases.h"
#include "matmul_case.h"
#include "network/network.h"
#include "network_programs.h"
#include "wisemerge/merge.h"

namespace wisemerge::test {
namespace {

// Of cudaError_t, whose header this program is built without.
constexpr int32_t kMemoryAllocation = 2, kIllegalAddress = 700, kNoKernelImage = 209;

// What a call came to, in the terms of the core.
struct Outcome {
  std::string code, message;  // code: empty for success
  std::vector<unsigned char> bytes;
};

template <class T>
void append(std::vector<unsigned char>& bytes, const std::vector<T>& values) {
  const auto* const first = reinterpret_cast<const unsigned char*>(values.data());
  bytes.insert(bytes.end(), first, first + values.size() * sizeof(T));
}

// Something to do with an engine, again and again; gives the bytes of its results.
class Scenario {
 public:
  virtual ~Scenario() = default;
  virtual const char* name() const = 0;
  // Forgets the engine before, whatever became of it.
  virtual void use(const std::shared_ptr<Engine>& engine) { engine_ = engine; }
  virtual std::vector<unsigned char> run() = 0;

  Outcome tried() {
    try {
      return {"", "", run()};
    } catch (const Error& error) {
      return {error.code(), error.what(), {}};
    }
  }

 protected:
  std::shared_ptr<Engine> engine_;
};

// Elementwise, over several slots, one operand pinned.
class Elementwise : public Scenario {
 public:
  const char* name() const override { return "lerp and compare"; }
  void use(const std::shared_ptr<Engine>& engine) override {
    Scenario::use(engine);
    pinned_ = false;
  }
  std::vector<unsigned char> run() override {
    if (!pinned_) engine_->pin(buffer_);
    pinned_ = true;
    WmLerp item = case_.item();
    item.x = buffer_->data();
    std::fill_n(buffer_->data(), buffer_->size(), uint8_t{0x3f});
    engine_->lerp({item}, nullptr);
    constexpr int32_t kType = static_cast<int32_t>(DType::kBF16);
    engine_->compare({{kType, kType, case_.count, case_.x_at, case_.y_at, sums_.data()}}, nullptr);
    std::vector<unsigned char> bytes;
    for (const Bytes& out : case_.outs) bytes.insert(bytes.end(), out.begin(), out.end());
    append(bytes, case_.non_finite);
    append(bytes, sums_);
    return bytes;
  }

 private:
  LerpCase case_{DType::kBF16, DType::kBF16, DType::kBF16, 5000001, {0.5}};
  std::vector<CompareSums> sums_ = std::vector<CompareSums>(spans_of(5000001));
  std::shared_ptr<HostBuffer> buffer_ = HostBuffer::allocate(5000001 * sizeof(uint16_t));
  bool pinned_ = false;
};

// Products and heads: memory of a call's own, and sums that go on from chunk to chunk.
class Heads : public Scenario {
 public:
  const char* name() const override { return "products and heads"; }
  std::vector<unsigned char> run() override {
    std::vector<float> out(product_.m * product_.n);
    engine_->matmul(product_.call(out.data(), product_.n), nullptr);
    HeadResults results(data_, 2);
    const WmLogits logits = data_.view();
    engine_->head_path({logits, 0, 1, results.lo.data(), results.hi.data(), results.open.data()}, nullptr);
    const std::vector<double> alphas = {0.2, 0.9};
    engine_->head_metrics({logits, results.lo.data(), results.hi.data(), results.open.data(), alphas.data(),
                           2, results.sums.data(), results.predicted.data(), results.predictions.data()},
                          nullptr);
    engine_->head_moments({logits, data_.weights.data(), 1.1, 0.4, results.moments.data()}, nullptr);
    std::vector<unsigned char> bytes;
    append(bytes, out);
    append(bytes, results.lo);
    append(bytes, results.sums);
    append(bytes, results.predictions);
    append(bytes, results.moments);
    return bytes;
  }

 private:
  MatmulCase product_{70, 40, 30, DType::kBF16, DType::kF32, false, true, 0.3};
  HeadData data_{70, 50000, Flavour::kUsual};
};

// Many models, whose columns lie in device memory, and units that are gathered there.
class Merges : public Scenario {
 public:
  const char* name() const override { return "merges"; }
  std::vector<unsigned char> run() override {
    std::vector<double> sums(2 * size_t{kModels} * kMergeSumColumns), out(kCount);
    uint64_t bad = 0;
    WmMergeCombine combine{};
    combine.inputs = {0, kCount, 8, kModels, kType, base_.data(), x_.data(), dtypes_.data()};
    combine.operation = WM_MERGE_DELTA_SUM;
    combine.weights = weights_.data();
    combine.keeps = keeps_.data();
    combine.out_dtype = kType;
    combine.out = out.data();
    combine.non_finite = &bad;
    engine_->merge_combine(combine, nullptr);
    engine_->merge_sums({combine.inputs, keeps_.data(), sums.data(), 0}, nullptr);
    std::vector<unsigned char> bytes;
    append(bytes, out);
    append(bytes, sums);
    return bytes;
  }

 private:
  static constexpr uint32_t kModels = 33;
  static constexpr uint64_t kCount = kMergeSpan + 40;
  static constexpr int32_t kType = static_cast<int32_t>(DType::kF64);
  static std::vector<double> weights(double step) {
    std::vector<double> all(kCount);
    for (uint64_t i = 0; i < kCount; i++) all[i] = std::sin(step * static_cast<double>(i));
    return all;
  }
  const std::vector<double> base_ = weights(0.3), tuned_ = weights(0.31);
  const std::vector<const void*> x_ = std::vector<const void*>(kModels, tuned_.data());
  const std::vector<int32_t> dtypes_ = std::vector<int32_t>(kModels, kType);
  const std::vector<double> weights_ = std::vector<double>(kModels, 0.02);
  const std::vector<WmKeep> keeps_ = std::vector<WmKeep>(kModels, [] {
    WmKeep keep{};
    keep.rule = WM_KEEP_RANDOM;
    keep.probability = 0.5;
    return keep;
  }());
};

// A network whose weights do not all fit, twice.
class Streamed : public Scenario {
 public:
  const char* name() const override { return "a network with streamed weights"; }
  void use(const std::shared_ptr<Engine>& engine) override {
    network_.reset();
    Scenario::use(engine);
  }
  std::vector<unsigned char> run() override {
    if (!network_) network_.emplace(engine_, parameters_, 1, network::ProductWay::kScratch);
    std::fill(result_.begin(), result_.end(), 0.0f);
    network_->run(named_.draft.program, {2, alphas_}, nullptr);
    std::vector<unsigned char> bytes;
    append(bytes, result_);
    return bytes;
  }

  Streamed() {
    for (const uint64_t count : named_.draft.tensors) {
      for (int end = 0; end < 2; end++) {
        std::vector<float>& weights = weights_.emplace_back(count);
        for (uint64_t i = 0; i < count; i++) {
          weights[i] = 0.3f * std::sin(static_cast<float>(i * (weights_.size() + 1)));
        }
      }
      const auto& x = weights_[weights_.size() - 2];
      parameters_.push_back({count, DType::kF32, DType::kF32, x.data(), weights_.back().data()});
    }
    alphas_.assign(2 * parameters_.size(), 0.3);
    network::Program& program = named_.draft.program;
    for (uint64_t i = 0; i < named_.draft.count(0); i++) {
      input_.push_back(std::sin(0.37f * static_cast<float>(i)));
    }
    program.values[0].memory = input_.data();
    result_.resize(2 * named_.draft.count(named_.outputs[0]));
    for (const uint32_t output : named_.outputs) program.values[output].memory = nullptr;
    program.values[named_.outputs[0]].memory = result_.data();
  }

 private:
  NamedProgram named_ = vit_program();
  std::deque<std::vector<float>> weights_;
  std::vector<network::Parameter> parameters_;
  std::vector<double> alphas_;
  std::vector<float> input_, result_;
  std::optional<network::Network> network_;
};

class Failures {
 public:
  Failures(Tally& tally, const WmBackend* cuda, const ReplayControl& control, Scenario& scenario,
           uint64_t memory)
      : tally_(tally), cuda_(cuda), control_(control), scenario_(scenario), memory_(memory) {}

  void run() {
    uint64_t calls = control_.calls();
    scenario_.use(open());
    wanted_ = scenario_.tried();
    calls = control_.calls() - calls;
    tally_.expect(wanted_.code.empty() && calls > 0, what() + ": " + wanted_.message);
    // The first calls one by one; of the many that follow, some.
    for (uint64_t at = 0; at < calls; at += at < 12 ? 1 : 1 + calls / 14) {
      out_of_memory(at);
      lost_device(at);
    }
  }

 private:
  std::shared_ptr<Engine> open() const {
    EngineOptions options;
    options.memory = memory_;
    return std::make_shared<Engine>(cuda_, options);
  }
  std::string what() const { return std::string("a failing runtime, ") + scenario_.name(); }
  bool right(const Outcome& outcome) const { return outcome.code.empty() && outcome.bytes == wanted_.bytes; }

  void out_of_memory(uint64_t at) {
    scenario_.use(open());
    control_.fail(at, kMemoryAllocation, false);
    const Outcome failed = scenario_.tried();
    control_.fail(0, 0, false);
    const std::string where = what() + ", out of memory at call " + std::to_string(at) + ": ";
    // What cannot be pinned is copied; an end that nobody hears of changes nothing.
    tally_.expect(failed.code == "ERR_DEVICE_MEMORY" || right(failed),
                  where + failed.code + " " + failed.message);
    const Outcome again = scenario_.tried();
    tally_.expect(right(again), where + "then " + again.code + " " + again.message);
  }

  void lost_device(uint64_t at) {
    scenario_.use(open());
    control_.fail(at, kIllegalAddress, true);
    const Outcome failed = scenario_.tried();
    const Outcome again = scenario_.tried();
    scenario_.use(open());  // closed while it is lost
    control_.fail(0, 0, false);
    const std::string where = what() + ", device lost at call " + std::to_string(at) + ": ";
    // Behind the last result there is nothing to hear of it.
    const bool told = failed.code == "ERR_DEVICE" && failed.message.find("new process") != std::string::npos;
    tally_.expect(told || right(failed), where + failed.code + " " + failed.message);
    tally_.expect(again.code == "ERR_DEVICE", where + "then " + again.code + " " + again.message);
    const Outcome anew = scenario_.tried();
    tally_.expect(right(anew), where + "in a new context " + anew.code + " " + anew.message);
  }

  Tally& tally_;
  const WmBackend* const cuda_;
  const ReplayControl& control_;
  Scenario& scenario_;
  const uint64_t memory_;
  Outcome wanted_;
};

// A device that runs no kernel of the library's says so when it is opened, not in the middle of a merge.
void check_opening(Tally& tally, const WmBackend* cuda, const ReplayControl& control) {
  uint64_t calls = control.calls();
  {
    const Opened opened(cuda, 0);
    calls = control.calls() - calls;
  }
  bool of_kernels = false;
  for (uint64_t at = 0; at < calls; at++) {
    control.fail(at, kNoKernelImage, true);
    Opened opened(cuda, 0);
    control.fail(0, 0, false);
    const std::string message = opened.error.message;
    of_kernels = of_kernels || message.find("architectures") != std::string::npos;
    tally.expect(opened.code == WM_UNAVAILABLE && !opened.context && !message.empty(),
                 "opening a device whose call " + std::to_string(at) + " fails: " + message);
  }
  tally.expect(of_kernels, "a device for which there are no kernels is not opened");
}

}  // namespace

void check_failures(Tally& tally, const WmBackend* cuda, const ReplayControl& control) {
  const auto check = [&](auto&& scenario, uint64_t memory = 0) {
    Failures(tally, cuda, control, scenario, memory).run();
  };
  check_opening(tally, cuda, control);
  check(Elementwise());
  check(Heads());
  check(Merges());
  check(Streamed(), 400u << 10);
}

}  // namespace wisemerge::test
