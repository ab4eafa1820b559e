// Networks on a device: whole programs through the one executor, against the CPU bit for bit and, where the
// program is small, against f64.
#include "cuda_parity_network.h"

#include <cstring>

#include "core/engine.h"
#include "core/host_buffer.h"
#include "core/status.h"
#include "cpu/cpu_backend.h"
#include "network/network.h"
#include "network_case.h"

namespace wisemerge::test {
namespace {

std::shared_ptr<Engine> open(const WmBackend* backend, WmPrecision precision = WM_EXACT,
                             uint64_t memory = 0) {
  EngineOptions options;
  options.threads = 2;
  options.precision = precision;
  options.memory = memory;
  return std::make_shared<Engine>(backend, options);
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

// Weights that are unpinned while a network runs are the caller's again: they have been read.
void check_unpinned(Tally& tally, const WmBackend* cuda) {
  constexpr uint64_t kWidth = 40000;
  Opened opened(cuda, 0);
  WmError error = {};
  const auto buffer = HostBuffer::allocate(kWidth * sizeof(float));
  auto* const weights = reinterpret_cast<float*>(buffer->data());
  std::fill_n(weights, kWidth, 0.5f);
  const int32_t f32 = static_cast<int32_t>(DType::kF32);
  const WmParameter parameter = {kWidth, f32, f32, weights, nullptr};
  WmNetwork* network = nullptr;
  std::vector<float> input(kWidth, 1.0f);
  float result = 0;
  const uint64_t out = kWidth * sizeof(float);
  const WmOperation operation = {
      static_cast<int32_t>(network::OpKind::kLinear), {0, WM_NO_PARAMETER}, {1, kWidth, 1, 0}};
  const WmTransfer given = {input.data(), 0, out}, wanted = {&result, out, sizeof(float)};
  const WmProgram program = {1, 1, &operation, &given, out + 64};
  const WmOperands operands = {{0, WM_NO_VALUE, WM_NO_VALUE, WM_NO_VALUE}, out, {0, 0}, 0};
  bool good = cuda->pin(opened.context, weights, buffer->size(), &error) == WM_OK &&
              cuda->network_open(opened.context, &parameter, 1, WM_WAY_AUTO, &network, &error) == WM_OK &&
              cuda->network_begin(opened.context, network, &program, nullptr, &error) == WM_OK &&
              cuda->network_operate(opened.context, network, 0, &operands, nullptr, &error) == WM_OK;
  cuda->unpin(opened.context, weights);
  std::fill_n(weights, kWidth, 7.0f);
  good = good && cuda->network_finish(opened.context, network, &wanted, 1, nullptr, &error) == WM_OK;
  tally.expect(good && result == 0.5f * kWidth, std::string("weights unpinned on their way: ") +
                                                    (good ? std::to_string(result) : error.message));
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
  check_unpinned(tally, cuda);
  check_calls(tally, cuda);
  return library;
}

}  // namespace wisemerge::test
