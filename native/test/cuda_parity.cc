// Runs the CUDA backend on a device and compares it bit for bit with the specification; the CPU backend takes
// the same calls. Needs a device: exits 77 with the reason where there is none.
//
//   cuda_parity <wisemerge-cuda.so> [--reduced [--cooperative]]
//
// --reduced is small enough for compute-sanitizer, --cooperative leaves out kernels whose threads share
// nothing. The last line of the output is one JSON object.
#include <dlfcn.h>

#include <chrono>
#include <thread>

#include "cpu/cpu_backend.h"
#include "cuda_parity_failures.h"
#include "cuda_parity_heads.h"
#include "cuda_parity_merge.h"
#include "cuda_parity_network.h"
#include "cuda_parity_training.h"

namespace wisemerge::test {
namespace {

const std::vector<double> kAlphas = {0.0, 0.5, 1.0, 0.3, -0.25, 1.75, 1e-60, 1e30};
using Contexts = std::vector<Opened*>;
using Cases = std::vector<std::unique_ptr<LerpCase>>;

void every_triple(Tally& tally, const Contexts& contexts, bool reduced) {
  for (const DType x : kFloatDTypes) {
    for (const DType y : kFloatDTypes) {
      for (const DType out : kFloatDTypes) {
        Cases cases;
        for (const uint64_t count : {0u, 1u, 7u, 4097u}) {
          cases.push_back(std::make_unique<LerpCase>(x, y, out, count, kAlphas, count % 3));
        }
        if (!reduced) cases.push_back(std::make_unique<LerpCase>(x, y, out, 30011, kAlphas));
        cases.push_back(std::make_unique<LerpCase>(x, y, out, 2000, kAlphas));
        fill_special(x, cases.back()->x_at, 2000, 5);
        fill_special(y, cases.back()->y_at, 2000, 6);
        run_lerps(tally, contexts, cases);
      }
    }
  }
}

void every_16_bit_code(Tally& tally, const Contexts& contexts) {
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    Cases cases;
    for (const uint32_t step : {0u, 1u, 0x8000u, 0x1234u, 0x7f01u}) {
      cases.push_back(std::make_unique<LerpCase>(dtype, dtype, dtype, 65536, kAlphas));
      auto* x = reinterpret_cast<uint16_t*>(cases.back()->x_at);
      auto* y = reinterpret_cast<uint16_t*>(cases.back()->y_at);
      for (uint32_t code = 0; code < 65536; code++) {
        x[code] = static_cast<uint16_t>(code);
        y[code] = static_cast<uint16_t>(code + step);
      }
    }
    run_lerps(tally, contexts, cases);
  }
}

// More tensors than one table holds, of all kinds at once.
void many_tensors(Tally& tally, const Contexts& contexts, bool reduced) {
  Cases cases;
  Random random(7);
  for (uint32_t i = 0; i < (reduced ? 200u : 20000u); i++) {
    const DType x = kFloatDTypes[random.next() % 6], y = kFloatDTypes[random.next() % 6];
    const DType out = random.next() % 2 ? x : kFloatDTypes[random.next() % 6];
    cases.push_back(std::make_unique<LerpCase>(x, y, out, random.next() % 800,
                                               std::vector<double>{0.25, 1.0 / 3}, i % 4));
  }
  run_lerps(tally, contexts, cases);
}

void many_alphas(Tally& tally, const Contexts& contexts, bool reduced) {
  std::vector<double> alphas;
  for (int k = 0; k < 200; k++) alphas.push_back(k / 199.0);
  run_lerp(tally, contexts,
           std::make_unique<LerpCase>(DType::kBF16, DType::kBF16, DType::kBF16, 5003, alphas));
  alphas.resize(64);
  if (reduced) return;
  for (const DType dtype : {DType::kBF16, DType::kF64}) {
    run_lerp(tally, contexts, std::make_unique<LerpCase>(dtype, dtype, dtype, 1000003, alphas));
  }
}

void large(Tally& tally, const Contexts& contexts) {
  for (const DType dtype : kFloatDTypes) {
    run_lerp(tally, contexts, std::make_unique<LerpCase>(dtype, dtype, dtype, 1000003, kAlphas, 1));
    const uint64_t count = (64u << 20) / item_size(dtype);
    run_lerp(tally, contexts,
             std::make_unique<LerpCase>(dtype, dtype, dtype, count, std::vector<double>{0.5, 0.7}));
  }
  run_lerp(tally, contexts,
           std::make_unique<LerpCase>(DType::kBF16, DType::kF32, DType::kBF16, 9000001, kAlphas));
}

void comparisons(Tally& tally, const Contexts& contexts, bool reduced) {
  for (const DType x : kFloatDTypes) {
    for (const DType y : kFloatDTypes) {
      for (const uint64_t count : {0u, 1u, 33u, 4095u, 12365u}) run_compare(tally, contexts, x, y, count);
      if (!reduced) run_compare(tally, contexts, x, y, 1000003);
    }
  }
  run_compare(tally, contexts, DType::kBF16, DType::kBF16, kCompareSpan + 1);
  if (!reduced) run_compare(tally, contexts, DType::kBF16, DType::kBF16, 32u << 20);
}

// Direct copies of pinned memory, staged ones beside it, and the calls' own rules.
void pinning(Tally& tally, const WmBackend* cuda, Opened& opened) {
  WmError error = {};
  LerpCase one(DType::kBF16, DType::kBF16, DType::kBF16, 3000001, {0.5, 0.9}, 1);
  std::vector<std::pair<void*, size_t>> ranges = {{one.x.data(), one.x.size()},
                                                  {one.y.data(), one.y.size()},
                                                  {one.outs[0].data(), one.outs[0].size()},
                                                  {one.outs[1].data(), one.outs[1].size()}};
  for (const size_t pinned : {1u, 3u, 4u}) {
    for (size_t i = 0; i < pinned; i++) {
      tally.expect(cuda->pin(opened.context, ranges[i].first, ranges[i].second, &error) == WM_OK,
                   std::string("pin: ") + error.message);
    }
    tally.expect(cuda->pin(opened.context, ranges[0].first, ranges[0].second, &error) == WM_INVALID_ARGUMENT,
                 "a range is pinned once");
    const WmLerp item = one.item();
    tally.expect(cuda->lerp(opened.context, &item, 1, nullptr, &error) == WM_OK, error.message);
    one.check(tally, "cuda, " + std::to_string(pinned) + " pinned ranges,");
    for (size_t i = 0; i < pinned; i++) cuda->unpin(opened.context, ranges[i].first);
  }
  cuda->unpin(opened.context, &error);  // never pinned
  tally.expect(cuda->pin(opened.context, nullptr, 10, &error) == WM_INVALID_ARGUMENT,
               "null cannot be pinned");
}

// One range in two contexts stays page-locked for the second when the first is closed.
void shared_pinning(Tally& tally, const WmBackend* cuda, int32_t devices) {
  WmError error = {};
  LerpCase one(DType::kBF16, DType::kBF16, DType::kBF16, 1000001, {0.5});
  const auto pin = [&](Opened& opened) {
    tally.expect(cuda->pin(opened.context, one.x.data(), one.x.size(), &error) == WM_OK, error.message);
  };
  auto first = std::make_unique<Opened>(cuda, 0);
  Opened second(cuda, devices - 1);
  pin(*first);
  pin(second);
  first.reset();
  const WmLerp item = one.item();
  tally.expect(cuda->lerp(second.context, &item, 1, nullptr, &error) == WM_OK,
               std::string("a range pinned in two contexts: ") + error.message);
  one.check(tally, "cuda, a range pinned in two contexts,");
  // Nobody has it any more: another range may begin there.
  cuda->unpin(second.context, one.x.data());
  tally.expect(cuda->pin(second.context, one.x.data(), one.x.size() / 2, &error) == WM_OK, error.message);
}

void cancelling(Tally& tally, const WmBackend* cuda, Opened& opened) {
  WmError error = {};
  LerpCase one(DType::kF8E4M3, DType::kF8E4M3, DType::kF8E4M3, 4000001, {0.5});
  volatile int32_t flag = 1;
  WmLerp item = one.item();
  tally.expect(cuda->lerp(opened.context, &item, 1, &flag, &error) == WM_CANCELLED, "a raised flag cancels");
  tally.expect(one.outs[0][0] == kPoison, "a call cancelled at its start writes nothing");

  // 24 GB of transfers: a fifth of a second at the very least.
  flag = 0;
  const std::vector<WmLerp> long_call(2000, item);
  std::thread raiser([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    __atomic_store_n(&flag, 1, __ATOMIC_RELAXED);
  });
  const WmCode code =
      cuda->lerp(opened.context, long_call.data(), static_cast<uint32_t>(long_call.size()), &flag, &error);
  raiser.join();
  tally.expect(code == WM_CANCELLED, "a flag raised during the call cancels it");

  flag = 0;
  LerpCase after(DType::kBF16, DType::kBF16, DType::kBF16, 3000001, {0.5});
  item = after.item();
  tally.expect(cuda->lerp(opened.context, &item, 1, &flag, &error) == WM_OK, "a call after a cancelled one");
  after.check(tally, "cuda after a cancelled call,");
}

void opening(Tally& tally, const WmBackend* cuda, int32_t devices, bool reduced) {
  for (const int32_t device : {devices, -1, 1000}) {
    Opened opened(cuda, device);
    tally.expect(opened.code == WM_INVALID_ARGUMENT && !opened.context && opened.error.message[0] != '\0',
                 "device " + std::to_string(device) + " is refused");
  }
  for (int i = 0; i < (reduced ? 3 : 20); i++) {
    Opened first(cuda, 0), second(cuda, devices - 1);
    tally.expect(first.context && second.context, std::string("open: ") + first.error.message);
    run_lerp(tally, {&first, &second},
             std::make_unique<LerpCase>(DType::kF16, DType::kF16, DType::kF32, 70001, kAlphas));
  }
}

void refusing(Tally& tally, const WmBackend* cuda, Opened& opened) {
  LerpCase one(DType::kF32, DType::kF32, DType::kF32, 10, {0.5});
  const auto refuse = [&](const char* message, const auto& spoil) {
    WmLerp item = one.item();
    spoil(item);
    WmError error = {};
    const WmCode code = cuda->lerp(opened.context, &item, 1, nullptr, &error);
    tally.expect(code == WM_INVALID_ARGUMENT && std::strstr(error.message, message),
                 std::string("lerp refuses: ") + message + ", said: " + error.message);
  };
  const double infinite = bit_cast<double>(0x7ff0000000000000ull);
  refuse("dtype I32 of x", [](WmLerp& item) { item.x_dtype = static_cast<int32_t>(DType::kI32); });
  refuse("dtype F8_E8M0 of y", [](WmLerp& item) { item.y_dtype = static_cast<int32_t>(DType::kF8E8M0); });
  refuse("dtype 99 of the output", [](WmLerp& item) { item.out_dtype = 99; });
  refuse("x is null", [](WmLerp& item) { item.x = nullptr; });
  refuse("y is null", [](WmLerp& item) { item.y = nullptr; });
  refuse("not aligned", [](WmLerp& item) { item.x = static_cast<const char*>(item.x) + 1; });
  refuse("outs", [](WmLerp& item) { item.outs = nullptr; });
  refuse("address space", [](WmLerp& item) { item.count = UINT64_MAX / 2; });
  refuse("not finite", [&](WmLerp& item) { item.alphas = &infinite; });

  WmError error = {};
  CompareSums sums;
  const int32_t f32 = static_cast<int32_t>(DType::kF32);
  for (const WmCompare& item :
       {WmCompare{f32, -1, 10, one.x_at, one.y_at, &sums}, WmCompare{f32, f32, 10, nullptr, one.y_at, &sums},
        WmCompare{f32, f32, 10, one.x_at, one.y_at, nullptr}}) {
    tally.expect(cuda->compare(opened.context, &item, 1, nullptr, &error) == WM_INVALID_ARGUMENT,
                 "compare refuses wrong arguments");
  }
  tally.expect(cuda->lerp(opened.context, nullptr, 0, nullptr, &error) == WM_OK, "no items are no error");
  tally.expect(cuda->lerp(opened.context, nullptr, 1, nullptr, &error) == WM_INVALID_ARGUMENT,
               "items are null");
}

// y is not read where every alpha is 0, and need not be there.
void absent_y(Tally& tally, const Contexts& contexts) {
  for (const DType out : {DType::kBF16, DType::kF32, DType::kF64}) {
    LerpCase one(DType::kBF16, DType::kF64, out, 70001, {0.0, -0.0});
    for (Opened* opened : contexts) {
      WmLerp item = one.item();
      item.y = nullptr;
      WmError error = {};
      tally.expect(opened->backend->lerp(opened->context, &item, 1, nullptr, &error) == WM_OK,
                   std::string("no y: ") + error.message);
      one.check(tally, std::string(opened->backend->name) + ", no y,");
    }
  }
}

void elementwise(Tally& tally, const WmBackend* cuda, const Contexts& contexts, bool reduced) {
  tally.section("interpolation", [&] {
    every_triple(tally, contexts, reduced);
    every_16_bit_code(tally, contexts);
    many_tensors(tally, contexts, reduced);
    many_alphas(tally, contexts, reduced);
    absent_y(tally, contexts);
  });
  tally.section("comparison", [&] { comparisons(tally, contexts, reduced); });
  if (!reduced) tally.section("large tensors", [&] { large(tally, contexts); });
  tally.section("pinned memory, cancelling, arguments", [&] {
    pinning(tally, cuda, *contexts[0]);
    cancelling(tally, cuda, *contexts[0]);
    refusing(tally, cuda, *contexts[0]);
  });
}

int main(const char* library, bool reduced, bool cooperative) {
  void* handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  const auto entry = handle ? reinterpret_cast<WmBackendEntry>(dlsym(handle, WM_BACKEND_SYMBOL)) : nullptr;
  if (!entry) {
    std::fprintf(stderr, "%s: %s\n", library, dlerror());
    return 1;
  }
  const WmBackend* cuda = entry();
  WmError error = {};
  const int32_t devices = cuda->device_count(&error);
  if (devices == 0) {
    std::fprintf(stderr, "skipped: %s\n", error.message);
    return 77;
  }

  Tally tally;
  WmDeviceInfo info = {};
  tally.expect(cuda->abi == WM_BACKEND_ABI, "ABI number");
  tally.expect(
      cuda->device_info(0, &info, &error) == WM_OK && info.memory_total > 0 && info.compute_units > 0,
      std::string("device_info: ") + error.message);
  tally.expect(cuda->device_info(devices, &info, &error) == WM_INVALID_ARGUMENT, "device_info out of range");
  {
    Opened device(cuda, 0), host(wisemerge_cpu_backend(), 0);
    if (!device.context || !host.context) {
      std::fprintf(stderr, "open: %s%s\n", device.error.message, host.error.message);
      return 1;
    }
    const Contexts contexts = {&device, &host};
    if (!cooperative) elementwise(tally, cuda, contexts, reduced);
    tally.section("matrix products", [&] { check_matrix_products(tally, device, host, reduced); });
    tally.section("heads", [&] { check_heads(tally, device, host, reduced); });
    tally.section("merges", [&] { check_merges(tally, device, host, reduced); });
    tally.section("products by tensor cores", [&] {
      Opened fast(cuda, 0, WM_FAST), neither(cuda, 0, 3);
      tally.expect(fast.code == WM_OK, std::string("open: ") + fast.error.message);
      tally.expect(neither.code == WM_INVALID_ARGUMENT, "a precision that there is not is refused");
      if (fast.context) check_tensor_products(tally, fast, reduced);
    });
  }
  if (!cooperative) {
    tally.section("opening", [&] {
      opening(tally, cuda, devices, reduced);
      shared_pinning(tally, cuda, devices);
    });
  }
  bool tf32 = false;
  tally.section("networks", [&] { tf32 = check_networks(tally, cuda, reduced); });
  tally.section("training", [&] { check_training(tally, cuda, reduced); });
  if (const auto control = reinterpret_cast<const ReplayControl* (*)()>(dlsym(handle, kReplayControl))) {
    tally.section("failures", [&] { check_failures(tally, cuda, *control()); });
  }

  std::printf(
      "{\"checks\": %llu, \"failures\": %llu, \"reduced\": %s, \"tf32\": \"%s\", \"backend\": \"%s\"}\n",
      static_cast<unsigned long long>(tally.checks()), static_cast<unsigned long long>(tally.failures()),
      reduced ? "true" : "false", tf32 ? "ran" : "no cuBLASLt", cuda->version);
  return tally.failures() ? 1 : 0;
}

}  // namespace
}  // namespace wisemerge::test

int main(int argc, char** argv) {
  const bool reduced = argc >= 3 && std::strcmp(argv[2], "--reduced") == 0;
  const bool cooperative = argc == 4 && std::strcmp(argv[3], "--cooperative") == 0;
  if (argc != 2 + reduced + cooperative) {
    std::fprintf(stderr, "usage: %s <wisemerge-cuda.so> [--reduced [--cooperative]]\n", argv[0]);
    return 2;
  }
  return wisemerge::test::main(argv[1], reduced, cooperative);
}
