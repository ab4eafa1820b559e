// Networks on a device: whole programs through the one executor, against the CPU bit for bit and, where the
// program is small, against f64.
#include "cuda_parity_network.h"

#include <cmath>
#include <cstring>

#include "core/engine.h"
#include "core/host_buffer.h"
#include "core/status.h"
#include "cpu/cpu_backend.h"
#include "network/network.h"
#include "network_programs.h"
#include "program_reference.h"

namespace wisemerge::test {
namespace {

using network::Parameter;
using network::ProductWay;

// Both ends of a model in all dtypes that weights come in, mixed: some ends differ in dtype, some tensors are
// the same in both.
class TwoModels {
 public:
  explicit TwoModels(const std::vector<uint64_t>& tensors) {
    constexpr DType kDTypes[] = {DType::kF32, DType::kBF16, DType::kF16};
    for (size_t p = 0; p < tensors.size(); p++) {
      const DType first = kDTypes[p % 3], second = kDTypes[(p % 7 == 3 ? p + 1 : p) % 3];
      const void* const x = store(first, tensors[p], 2 * p);
      const void* const y = p % 5 == 4 ? nullptr : store(second, tensors[p], 2 * p + 1);
      parameters_.push_back({tensors[p], first, y ? second : first, x, y});
    }
  }

  const std::vector<Parameter>& parameters() const { return parameters_; }

  // All tensors one behind another, interpolated in f64.
  Doubles at(const double* alphas) const {
    Doubles all;
    for (size_t p = 0; p < parameters_.size(); p++) {
      const Parameter& parameter = parameters_[p];
      for (uint64_t i = 0; i < parameter.count; i++) {
        const double x = number(parameter.zeroshot_dtype, parameter.zeroshot, i);
        const double y = parameter.finetuned ? number(parameter.finetuned_dtype, parameter.finetuned, i) : x;
        all.push_back(x + alphas[p] * (y - x));
      }
    }
    return all;
  }

 private:
  const void* store(DType dtype, uint64_t count, uint64_t seed) {
    memory_.emplace_back(count * item_size(dtype));
    Random random(seed + 1);
    with_dtype(dtype, [&]<DType D>() {
      auto* const to = reinterpret_cast<typename Element<D>::Bits*>(memory_.back().data());
      for (uint64_t i = 0; i < count; i++) {
        to[i] = Element<D>::store64(static_cast<double>(static_cast<int64_t>(random.next())) * 0x1p-64);
      }
    });
    return memory_.back().data();
  }
  static double number(DType dtype, const void* data, uint64_t i) {
    double value = 0;
    with_dtype(dtype, [&]<DType D>() {
      value = Element<D>::load64(static_cast<const typename Element<D>::Bits*>(data)[i]);
    });
    return value;
  }

  std::deque<Bytes> memory_;
  std::vector<Parameter> parameters_;
};

// A program with models, an input, and three candidates between the models, each tensor at its own alpha.
class NetworkCase {
 public:
  static constexpr uint64_t kCandidates = 3;

  explicit NetworkCase(NamedProgram named) : named_(std::move(named)), models_(named_.draft.tensors) {
    const uint64_t inputs = named_.draft.count(0), tensors = models_.parameters().size();
    for (uint64_t i = 0; i < inputs; i++) input_.push_back(std::sin(0.37f * static_cast<float>(i)));
    constexpr double kAlphas[] = {0.3, 0, 1, -0.25, 0.7, 1.5, 1e-60};
    for (uint64_t k = 0; k < kCandidates; k++) {
      for (uint64_t p = 0; p < tensors; p++) alphas_.push_back(k == 0 ? 0.3 : kAlphas[(p + 2 * k) % 7]);
    }
    for (const uint32_t output : named_.outputs)
      results_.emplace_back(kCandidates * named_.draft.count(output));
    network::Program& program = named_.draft.program;
    program.values[0].memory = input_.data();
    for (size_t i = 0; i < results_.size(); i++) {
      program.values[named_.outputs[i]].memory = results_[i].data();
    }
  }

  const std::string& name() const { return named_.name; }
  const TwoModels& models() const { return models_; }
  using Results = std::vector<std::vector<float>>;

  // All results of candidates `first` to `first` + `count`; the memory of others is untouched.
  const Results& run(network::Network& network, uint64_t first = 0, uint64_t count = kCandidates,
                     WmCancelFlag cancelled = nullptr) {
    for (auto& result : results_) std::fill(result.begin(), result.end(), 77.0f);
    const auto tensors = static_cast<std::ptrdiff_t>(models_.parameters().size());
    const auto begin = alphas_.begin() + static_cast<std::ptrdiff_t>(first) * tensors;
    network.run(named_.draft.program, {count, {begin, begin + static_cast<std::ptrdiff_t>(count) * tensors}},
                cancelled);
    return results_;
  }
  const Results& run(const std::shared_ptr<Engine>& engine, ProductWay way) {
    network::Network network(engine, models_.parameters(), 2, way);
    return run(network);
  }

  // The largest distance from f64, as a share of the largest number of each result.
  double distance(const Results& results) {
    double worst = 0;
    for (uint64_t k = 0; k < kCandidates; k++) {
      const Doubles weights = models_.at(&alphas_[k * models_.parameters().size()]);
      const Doubles input(input_.begin(), input_.end());
      for (size_t i = 0; i < results.size(); i++) {
        named_.draft.output = named_.outputs[i];
        ProgramReference reference(named_.draft, weights, input);
        const Doubles& wanted = reference.run();
        double largest = 0, off = 0;
        for (size_t e = 0; e < wanted.size(); e++) {
          largest = std::fmax(largest, std::fabs(wanted[e]));
          off = std::fmax(off, std::fabs(static_cast<double>(results[i][k * wanted.size() + e]) - wanted[e]));
        }
        worst = std::fmax(worst, off / largest);
      }
    }
    return worst;
  }

 private:
  NamedProgram named_;
  TwoModels models_;
  std::vector<float> input_;
  std::vector<double> alphas_;  // [candidate][tensor]
  Results results_;
};

std::shared_ptr<Engine> open(const WmBackend* backend, WmPrecision precision = WM_EXACT,
                             uint64_t memory = 0) {
  EngineOptions options;
  options.threads = 2;
  options.precision = precision;
  options.memory = memory;
  return std::make_shared<Engine>(backend, options);
}

bool same_bits(const NetworkCase::Results& a, const NetworkCase::Results& b) {
  bool same = a.size() == b.size();
  for (size_t i = 0; same && i < a.size(); i++) {
    same =
        a[i].size() == b[i].size() && std::memcmp(a[i].data(), b[i].data(), a[i].size() * sizeof(float)) == 0;
  }
  return same;
}

// As little device memory as the program runs in, found from below, and some more: weights are streamed, then
// some of them stay.
void check_streamed(Tally& tally, const WmBackend* cuda, NetworkCase& one,
                    const NetworkCase::Results& wanted) {
  size_t refused = 0, ran = 0;
  for (uint64_t memory = 4096; memory < (64u << 20) && ran < 4; memory += memory / 4) {
    try {
      for (const bool ahead : {false, true}) {
        // For the runtime that replays kernels: uploads as early as they may.
        if (ahead) setenv("WISEMERGE_REPLAY_AHEAD", "1", 1);
        const auto engine = open(cuda, WM_EXACT, memory);
        network::Network network(engine, one.models().parameters(), 1, ProductWay::kAuto);
        for (int batch = 0; batch < 2; batch++) {
          tally.expect(
              same_bits(one.run(network), wanted),
              one.name() + ": the same bits with streamed weights, " + std::to_string(memory) + " bytes");
        }
        unsetenv("WISEMERGE_REPLAY_AHEAD");
      }
      ran++;
    } catch (const Error& error) {
      refused++;
      tally.expect(ran == 0 && error.code() == "ERR_DEVICE_MEMORY" &&
                       std::string(error.what()).find("fewer samples or alphas") != std::string::npos,
                   one.name() + ": " + error.what());
    }
  }
  tally.expect(refused > 0 && ran > 0, one.name() + ": too little memory is refused");
}

void check_program_on(Tally& tally, const WmBackend* cuda, NetworkCase& one) {
  const NetworkCase::Results wanted = one.run(open(wisemerge_cpu_backend()), ProductWay::kAuto);
  tally.expect(one.distance(wanted) < 2e-5, one.name() + " on the CPU: f64");
  const auto exact = open(cuda);
  for (const ProductWay way : {ProductWay::kAuto, ProductWay::kFused, ProductWay::kScratch}) {
    tally.expect(same_bits(one.run(exact, way), wanted),
                 one.name() + ": the CPU's bits, way " + std::to_string(static_cast<int>(way)));
  }
  // Alone, and behind one another in one network: memory is used again.
  network::Network network(exact, one.models().parameters(), 1, ProductWay::kAuto);
  for (const uint64_t first : {2u, 0u, 1u}) {
    const NetworkCase::Results& alone = one.run(network, first, 1);
    bool same = true;
    for (size_t i = 0; i < alone.size(); i++) {
      const size_t count = alone[i].size() / NetworkCase::kCandidates;
      same = same && std::equal(alone[i].begin(), alone[i].begin() + static_cast<std::ptrdiff_t>(count),
                                wanted[i].begin() + static_cast<std::ptrdiff_t>(first * count));
      same = same && std::all_of(alone[i].begin() + static_cast<std::ptrdiff_t>(count), alone[i].end(),
                                 [](float x) { return x == 77.0f; });
    }
    tally.expect(same, one.name() + ": candidate " + std::to_string(first) + " alone has its bits");
  }
  tally.expect(same_bits(one.run(network), wanted), one.name() + ": and together again");
  check_streamed(tally, cuda, one, wanted);
}

void check_fast_program(Tally& tally, const WmBackend* cuda, NetworkCase& one) {
  const NetworkCase::Results exact = one.run(open(wisemerge_cpu_backend()), ProductWay::kAuto);
  const auto fast = open(cuda, WM_FAST);
  const NetworkCase::Results near = one.run(fast, ProductWay::kFused);
  // Products are within 4e-5 of the sum of their terms' sizes, which a handful of layers enlarges.
  tally.expect(one.distance(near) < 1e-3, one.name() + " by tensor cores: near f64");
  tally.expect(!same_bits(near, exact), one.name() + " by tensor cores: other bits");
  tally.expect(same_bits(one.run(fast, ProductWay::kScratch), near),
               one.name() + " by tensor cores: the same bits both ways");
}

// Products by cuBLASLt where there is one; false where there is none.
bool check_library_program(Tally& tally, const WmBackend* cuda, NetworkCase& one) {
  const auto engine = open(cuda, WM_TF32);
  NetworkCase::Results near;
  try {
    near = one.run(engine, ProductWay::kScratch);
  } catch (const Error& error) {
    const std::string text = error.what();
    tally.expect(
        error.code() == "ERR_DEVICE_UNAVAILABLE" && text.find("LD_LIBRARY_PATH") != std::string::npos,
        one.name() + " with tf32: " + text);
    return false;
  }
  // Operands have 11 bits, each product is within 2^-10 of its terms' sizes.
  const double distance = one.distance(near);
  tally.expect(distance < 2e-2, one.name() + " with tf32: near f64, " + std::to_string(distance));
  tally.expect(!same_bits(near, one.run(engine, ProductWay::kFused)),
               one.name() + " with tf32: fused products are not the library's");
  // The network is small, and few rows are fused.
  tally.expect(same_bits(one.run(engine, ProductWay::kAuto), one.run(open(cuda, WM_FAST), ProductWay::kAuto)),
               one.name() + " with tf32: few rows as with fast");
  network::Network network(engine, one.models().parameters(), 2, ProductWay::kScratch);
  for (int batch = 0; batch < 2; batch++) {
    tally.expect(same_bits(one.run(network), near), one.name() + " with tf32: the same bits at every run");
  }
  return true;
}

// A flag raised before, and by another thread's time: the next run is as if nothing had been.
void check_cancelled(Tally& tally, const WmBackend* cuda) {
  NetworkCase one(vit_program());
  const auto engine = open(cuda);
  network::Network network(engine, one.models().parameters(), 1, ProductWay::kAuto);
  const NetworkCase::Results wanted = one.run(network);
  volatile int32_t flag = 1;
  try {
    one.run(network, 0, NetworkCase::kCandidates, &flag);
    tally.expect(false, "a raised flag cancels a network");
  } catch (const Error& error) {
    tally.expect(error.code() == "ERR_ABORTED", std::string("a cancelled network: ") + error.what());
  }
  tally.expect(same_bits(one.run(network), wanted), "a network after a cancelled run");
}

// A program left off in the middle, at calls that are wrong, and a network that outlives its engine.
void check_calls(Tally& tally, const WmBackend* cuda) {
  Opened opened(cuda, 0);
  WmError error = {};
  const float weight[] = {1, 2, 3, 4};
  const WmParameter parameter = {4, static_cast<int32_t>(DType::kF32), static_cast<int32_t>(DType::kF32),
                                 weight, nullptr};
  WmNetwork* network = nullptr;
  tally.expect(cuda->network_open(opened.context, &parameter, 1, WM_WAY_AUTO, &network, &error) == WM_OK,
               error.message);
  float input[] = {1, 10}, result[] = {0, 0};
  WmOperation operation = {
      static_cast<int32_t>(network::OpKind::kLinear), {0, WM_NO_PARAMETER}, {1, 2, 2, 0}};
  const WmTransfer given = {input, 0, 8}, wanted = {result, 64, 8};
  const WmOperands operands = {{0, WM_NO_VALUE, WM_NO_VALUE, WM_NO_VALUE}, 64, {0, 0}, 0};
  const auto begin = [&](const WmOperation& what, const WmTransfer& from) {
    const WmProgram program = {1, 1, &what, &from, 128};
    return cuda->network_begin(opened.context, network, &program, nullptr, &error);
  };
  const auto operate = [&](uint32_t at, const WmOperands& on) {
    return cuda->network_operate(opened.context, network, at, &on, nullptr, &error);
  };
  const auto finish = [&](const WmTransfer& to) {
    return cuda->network_finish(opened.context, network, &to, 1, nullptr, &error);
  };
  tally.expect(operate(0, operands) == WM_INVALID_ARGUMENT && finish(wanted) == WM_INVALID_ARGUMENT,
               "a network that has begun nothing");
  tally.expect(begin(operation, {input, 1024, 8}) == WM_INVALID_ARGUMENT, "an input outside the memory");
  for (int turn = 0; turn < 2; turn++) {  // the first is left off
    tally.expect(begin(operation, given) == WM_OK && operate(0, operands) == WM_OK, error.message);
  }
  tally.expect(operate(1, operands) == WM_INVALID_ARGUMENT, "an operation that there is not");
  WmOperands outside = operands;
  outside.out = 1024;
  tally.expect(operate(0, outside) == WM_INVALID_ARGUMENT, "a value outside the memory");
  tally.expect(finish({result, 1024, 8}) == WM_INVALID_ARGUMENT, "a result outside the memory");
  tally.expect(finish(wanted) == WM_OK && result[0] == 21 && result[1] == 43, "x W^T");
  operation.kind = 99;
  tally.expect(begin(operation, given) == WM_INVALID_ARGUMENT, "an unknown kind");
  operation = {static_cast<int32_t>(network::OpKind::kLinear), {1, WM_NO_PARAMETER}, {1, 2, 2, 0}};
  tally.expect(begin(operation, given) == WM_INVALID_ARGUMENT, "an unknown parameter");
  operation = {static_cast<int32_t>(network::OpKind::kLinear), {0, WM_NO_PARAMETER}, {1ull << 40, 2, 2, 0}};
  tally.expect(begin(operation, given) == WM_INVALID_ARGUMENT, "more rows than a launch takes");
  cuda->network_close(opened.context, network);

  NetworkCase one(bert_program());
  const auto engine = open(cuda);
  network::Network outlives(engine, one.models().parameters(), 1, ProductWay::kAuto);
  one.run(outlives);
  engine->close();
}

// A table larger than all pieces that uploads are staged in, from pinned memory too.
void check_uploads(Tally& tally, const WmBackend* cuda) {
  constexpr uint64_t kWidth = 1000, kRows = 44000;  // 84 MiB
  const auto buffer = HostBuffer::allocate(kWidth * kRows * sizeof(uint16_t));
  auto* const codes = reinterpret_cast<uint16_t*>(buffer->data());
  const auto code = [](uint64_t row) { return static_cast<uint16_t>(0x3f00 + row % 509); };
  for (uint64_t row = 0; row < kRows; row++) std::fill_n(codes + row * kWidth, kWidth, code(row));
  ProgramDraft draft(1, 1);
  std::vector<int32_t> ids;
  for (int32_t row = 0; row < static_cast<int32_t>(kRows); row += 211) ids.push_back(row);
  const uint32_t rows = draft.embedding(ids, kWidth, kRows);
  std::vector<float> input(1), result(ids.size() * kWidth);
  draft.program.values[0].memory = input.data();
  draft.program.values[rows].memory = result.data();
  for (const bool pinned : {false, true}) {
    const auto engine = open(cuda);
    if (pinned) engine->pin(buffer);
    std::fill(result.begin(), result.end(), 0.0f);
    network::Network network(engine, {{kWidth * kRows, DType::kBF16, DType::kBF16, codes, nullptr}}, 1,
                             ProductWay::kAuto);
    network.run(draft.program, {1, {0.5}}, nullptr);
    size_t wrong = 0;
    for (size_t i = 0; i < result.size(); i++) {
      wrong += result[i] != bf16_to_f32(code(static_cast<uint64_t>(ids[i / kWidth])));
    }
    tally.expect(wrong == 0, std::string("a large table") + (pinned ? ", pinned" : ""));
  }
}

}  // namespace

bool check_networks(Tally& tally, const WmBackend* cuda, bool reduced) {
  const bool replay = std::strstr(cuda->version, "host replay") != nullptr;
  bool library = false;
  for (NamedProgram& named : network_programs()) {
    NetworkCase one(std::move(named));
    check_program_on(tally, cuda, one);
    // Tensor cores take their time on the host.
    if (!reduced || one.name() == "ViT") check_fast_program(tally, cuda, one);
    if (!check_library_program(tally, cuda, one)) continue;
    library = true;
    if (!replay) continue;  // a library that is loaded stays so
    setenv("WISEMERGE_REPLAY_NO_LIBRARY", "1", 1);
    tally.expect(!check_library_program(tally, cuda, one), "tf32 without the library is refused");
    unsetenv("WISEMERGE_REPLAY_NO_LIBRARY");
  }
  check_cancelled(tally, cuda);
  check_uploads(tally, cuda);
  check_calls(tally, cuda);
  return library;
}

}  // namespace wisemerge::test
