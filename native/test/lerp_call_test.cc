// Calls of the CPU backend: tiling, threads, several alphas and items, arguments and cancellation.
#include <cmath>
#include <cstdlib>
#include <memory>
#include <utility>

#include "check.h"
#include "lerp_fixture.h"
#include "oracle.h"

using namespace wisemerge;
using namespace wisemerge::test;

TEST("lerp: several alphas in one pass equal single ones, whatever the tiling and the threads") {
  const size_t count = 300'011;  // several tiles, and none of them even
  std::vector<double> alphas = {0.25, 0.0, 1.0, 0.9, -0.5, 0.6, 0.1};
  for (DType dtype : {DType::kBF16, DType::kF16, DType::kF32, DType::kF64, DType::kF8E4M3}) {
    const auto [xs, ys] = sample_pair(dtype, dtype, count, 23);
    Tensor x(dtype, xs, 1), y(dtype, ys, 2);
    std::vector<std::unique_ptr<Tensor>> single;
    std::vector<uint64_t> single_counts(alphas.size());
    for (size_t k = 0; k < alphas.size(); k++) {
      single.push_back(std::make_unique<Tensor>(dtype, count, 0));
      void* outs[] = {single[k]->data()};
      const WmLerp item =
          make_item(dtype, dtype, dtype, count, x.data(), y.data(), &alphas[k], outs, &single_counts[k]);
      cpu::baseline_kernels()->lerp(item, 0, count, false, &single_counts[k]);
    }
    for (const cpu::Kernels* kernels : levels()) {
      for (int threads : {1, 2, 5}) {
        Context context(threads, kernels->isa);
        std::vector<std::unique_ptr<Tensor>> tensors;
        std::vector<void*> outs;
        for (size_t k = 0; k < alphas.size(); k++) {
          tensors.push_back(std::make_unique<Tensor>(dtype, count, 3 + (k == 4)));
          outs.push_back(tensors.back()->data());
        }
        std::vector<uint64_t> counts(alphas.size(), 77);
        CHECK_EQ(context.lerp(make_item(dtype, dtype, dtype, count, x.data(), y.data(), alphas.data(),
                                        outs.data(), counts.data(), static_cast<uint32_t>(alphas.size()))),
                 WM_OK);
        for (size_t k = 0; k < alphas.size(); k++) {
          CHECK_EQ(counts[k], single_counts[k]);
          CHECK(std::memcmp(tensors[k]->data(), single[k]->data(), count * item_size(dtype)) == 0);
          CHECK(tensors[k]->guards_intact());
        }
      }
    }
  }
}

TEST("lerp: many items in one call, empty ones among them") {
  Context context(2);
  std::vector<std::unique_ptr<Tensor>> keep;
  std::vector<WmLerp> items;
  std::vector<double> alphas(100, 0.5);
  std::vector<void*> outs(100);
  std::vector<uint64_t> counts(100, 9);
  std::vector<std::pair<std::vector<uint64_t>, std::vector<uint64_t>>> codes;
  for (size_t i = 0; i < 100; i++) {
    const DType dtype = i % 2 ? DType::kBF16 : DType::kF32;
    const size_t count = i % 7 == 0 ? 0 : i * i * 3;
    codes.push_back(sample_pair(dtype, dtype, count, i));
    for (const auto& side : {codes[i].first, codes[i].second})
      keep.push_back(std::make_unique<Tensor>(dtype, side, i % 5));
    keep.push_back(std::make_unique<Tensor>(dtype, count, i % 3));
    outs[i] = keep[3 * i + 2]->data();
    items.push_back(make_item(dtype, dtype, dtype, count, keep[3 * i]->data(), keep[3 * i + 1]->data(),
                              &alphas[i], &outs[i], &counts[i]));
  }
  CHECK_EQ(context.backend->lerp(context.context, items.data(), 100, nullptr, &context.error), WM_OK);
  for (size_t i = 0; i < 100; i++) {
    const DType dtype = static_cast<DType>(items[i].out_dtype);
    const ElementFn reference = find_element(dtype, dtype, dtype);
    uint64_t specials = 0;
    for (size_t j = 0; j < items[i].count; j++) {
      const uint64_t expected = reference(codes[i].first[j], codes[i].second[j], 0.5);
      CHECK_EQ((*keep[3 * i + 2])[j], expected);
      specials += !format_of(dtype).is_finite(expected);
    }
    CHECK_EQ(counts[i], specials);
    CHECK(keep[3 * i + 2]->guards_intact());
  }
}

TEST("lerp: an output may take the place of its x") {
  const size_t count = 40'003;
  for (DType dtype : kFloatDTypes) {
    const auto [xs, ys] = sample_pair(dtype, dtype, count, 31);
    const size_t size = item_size(dtype);
    Tensor x(dtype, xs, 0), y(dtype, ys, 1), apart(dtype, count, 0);
    for (const double alpha : {0.3, 0.0, 1.0}) {
      for (const cpu::Kernels* kernels : levels()) {
        Context context(1, kernels->isa);
        uint64_t wanted = 0, got = 0;
        void* outs[] = {apart.data()};
        CHECK_EQ(
            context.lerp(make_item(dtype, dtype, dtype, count, x.data(), y.data(), &alpha, outs, &wanted)),
            WM_OK);
        for (const size_t behind : {0u, 1u, 7u, 500u}) {
          std::vector<uint64_t> memory(((count + behind) * size + 7) / 8);
          auto* const first = reinterpret_cast<unsigned char*>(memory.data());
          std::memcpy(first + behind * size, x.data(), count * size);
          void* over[] = {first};
          CHECK_EQ(context.lerp(make_item(dtype, dtype, dtype, count, first + behind * size, y.data(), &alpha,
                                          over, &got)),
                   WM_OK);
          CHECK(std::memcmp(first, apart.data(), count * size) == 0);
          CHECK_EQ(got, wanted);
        }
      }
    }
  }
}

TEST("lerp: y may be absent when every alpha is 0") {
  Context context(1);
  uint16_t x[] = {0x3f80, 0xff80}, out[2] = {};
  void* outs[] = {out};
  uint64_t non_finite = 0;
  double alpha = 0;
  CHECK_EQ(context.lerp(
               make_item(DType::kBF16, DType::kBF16, DType::kBF16, 2, x, nullptr, &alpha, outs, &non_finite)),
           WM_OK);
  CHECK_EQ(out[0], x[0]);
  CHECK_EQ(out[1], x[1]);
  CHECK_EQ(non_finite, 1u);
  alpha = 0.5;
  CHECK_EQ(context.lerp(
               make_item(DType::kBF16, DType::kBF16, DType::kBF16, 2, x, nullptr, &alpha, outs, &non_finite)),
           WM_INVALID_ARGUMENT);
  CHECK(std::strstr(context.error.message, "y is null"));
}

TEST("lerp: wrong arguments are refused by name") {
  Context context(1);
  alignas(8) unsigned char x[32] = {}, y[32] = {}, out[32] = {};
  void* outs[] = {out};
  void* skewed[] = {out + 1};
  uint64_t non_finite = 0;
  double alpha = 0.5, bad = NAN;
  const auto check = [&](const WmLerp& item, const char* message) {
    context.error = {};
    CHECK_EQ(context.lerp(item), WM_INVALID_ARGUMENT);
    if (!std::strstr(context.error.message, message)) fail(__FILE__, __LINE__, context.error.message);
  };
  const DType f32 = DType::kF32;
  check(make_item(DType::kI32, f32, f32, 1, x, y, &alpha, outs, &non_finite), "dtype");
  check(make_item(f32, DType::kF8E8M0, f32, 1, x, y, &alpha, outs, &non_finite), "dtype");
  check(make_item(f32, f32, static_cast<DType>(200), 1, x, y, &alpha, outs, &non_finite), "dtype");
  check(make_item(f32, f32, f32, 1, nullptr, y, &alpha, outs, &non_finite), "x is null");
  check(make_item(f32, f32, f32, 1, x + 2, y, &alpha, outs, &non_finite), "not aligned");
  check(make_item(f32, f32, f32, 1, x, y, &alpha, skewed, &non_finite), "not aligned");
  check(make_item(f32, f32, f32, 1, x, y, &bad, outs, &non_finite), "finite");
  check(make_item(f32, f32, f32, UINT64_MAX / 2, x, y, &alpha, outs, &non_finite), "address space");
  check(make_item(f32, f32, f32, 1, x, y, &alpha, nullptr, &non_finite), "outs");

  WmContext* none = nullptr;
  WmOpenOptions options = {0, 1, "sse9", WM_EXACT, 0};
  CHECK_EQ(context.backend->open(&options, &none, &context.error), WM_INVALID_ARGUMENT);
  CHECK(std::strstr(context.error.message, "sse9"));
  options = {1, 1, nullptr, WM_EXACT, 0};
  CHECK_EQ(context.backend->open(&options, &none, &context.error), WM_INVALID_ARGUMENT);
  options = {0, -1, nullptr, WM_EXACT, 0};
  CHECK_EQ(context.backend->open(&options, &none, &context.error), WM_INVALID_ARGUMENT);
  options = {0, 1, nullptr, WM_FAST, 0};
  CHECK_EQ(context.backend->open(&options, &none, &context.error), WM_UNAVAILABLE);
  CHECK(std::strstr(context.error.message, "precision"));
}

TEST("lerp: a raised flag cancels") {
  const size_t count = 1 << 20;
  std::vector<float> x(count, 1), y(count, 2), out(count, -1);
  void* outs[] = {out.data()};
  uint64_t non_finite = 0;
  const double alpha = 0.5;
  for (int threads : {1, 2}) {
    Context context(threads);
    const volatile int32_t cancelled = 1;
    CHECK_EQ(context.lerp(make_item(DType::kF32, DType::kF32, DType::kF32, count, x.data(), y.data(), &alpha,
                                    outs, &non_finite),
                          &cancelled),
             WM_CANCELLED);
    for (float value : out) CHECK_EQ(value, -1.0f);
  }
}

TEST("backend: the device is described") {
  const WmBackend* backend = wisemerge_cpu_backend();
  WmDeviceInfo info;
  WmError error;
  CHECK_EQ(backend->abi, WM_BACKEND_ABI);
  CHECK_EQ(backend->device_count(&error), 1);
  CHECK_EQ(backend->device_info(0, &info, &error), WM_OK);
  CHECK(info.name[0] != 0);
  CHECK(info.compute_units >= 1);
  CHECK_EQ(std::string(info.isa), std::string(cpu::select_kernels(nullptr)->isa));
  CHECK_EQ(backend->device_info(1, &info, &error), WM_INVALID_ARGUMENT);
}
