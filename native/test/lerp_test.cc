// The interpolation kernels of every SIMD level: against the element function for all dtype triples, against
// the oracle, and the backend's tiling, threads, arguments and cancellation.
#include "wisemerge/lerp.h"

#include <cmath>
#include <cstdlib>
#include <memory>
#include <utility>

#include "check.h"
#include "cpu/cpu_backend.h"
#include "cpu/kernels.h"
#include "oracle.h"

using namespace wisemerge;
using namespace wisemerge::test;

namespace {

// -1e-60 becomes -0 in f32, 1e300 infinity.
constexpr double kAlphas[] = {0.37, 0.0, 1.0, -0.75, 1.5, -1e-60, 0.5, 1e300};

std::vector<const cpu::Kernels*> levels() {
  std::vector<const cpu::Kernels*> all;
  for (const char* isa : {"baseline", "avx2", "avx512"}) {
    const cpu::Kernels* kernels = cpu::select_kernels(isa);
    if (all.empty() || kernels != all.back()) all.push_back(kernels);
  }
  return all;
}

template <DType X, DType Y, DType Out>
uint64_t element(uint64_t x, uint64_t y, double alpha) {
  return lerp_element<X, Y, Out>(static_cast<typename Element<X>::Bits>(x),
                                 static_cast<typename Element<Y>::Bits>(y), alpha);
}
using ElementFn = uint64_t (*)(uint64_t, uint64_t, double);

template <DType X, DType Y, size_t... O>
ElementFn find_out(DType out, std::index_sequence<O...>) {
  ElementFn found = nullptr;
  ((kFloatDTypes[O] == out ? void(found = &element<X, Y, kFloatDTypes[O]>) : void()), ...);
  return found;
}
template <DType X, size_t... Y>
ElementFn find_y(DType y, DType out, std::index_sequence<Y...> all) {
  ElementFn found = nullptr;
  ((kFloatDTypes[Y] == y ? void(found = find_out<X, kFloatDTypes[Y]>(out, all)) : void()), ...);
  return found;
}
template <size_t... X>
ElementFn find_element(DType x, DType y, DType out, std::index_sequence<X...> all) {
  ElementFn found = nullptr;
  ((kFloatDTypes[X] == x ? void(found = find_y<kFloatDTypes[X]>(y, out, all)) : void()), ...);
  return found;
}
ElementFn find_element(DType x, DType y, DType out) {
  return find_element(x, y, out, std::make_index_sequence<6>());
}

// Elements of one dtype at a chosen distance from a cache line, with guard bytes around.
class Tensor {
 public:
  Tensor(DType dtype, size_t count, size_t skew_elements)
      : dtype_(dtype), count_(count), bytes_(kGuard + 64 + count * item_size(dtype) + kGuard, 0xa5) {
    const size_t line = (0 - reinterpret_cast<uintptr_t>(bytes_.data() + kGuard)) % 64;
    offset_ = kGuard + line + skew_elements * item_size(dtype) % 64;
    bytes_.resize(offset_ + count * item_size(dtype) + kGuard, 0xa5);
  }
  Tensor(DType dtype, const std::vector<uint64_t>& codes, size_t skew) : Tensor(dtype, codes.size(), skew) {
    store_codes(dtype, codes, data());
  }
  void* data() { return bytes_.data() + offset_; }
  uint64_t operator[](size_t i) { return load_code(dtype_, data(), i); }
  bool guards_intact() const {
    const size_t end = offset_ + count_ * item_size(dtype_);
    for (size_t i = 0; i < bytes_.size(); i++) {
      if ((i < offset_ || i >= end) && bytes_[i] != 0xa5) return false;
    }
    return true;
  }

 private:
  static constexpr size_t kGuard = 192;
  DType dtype_;
  size_t count_, offset_;
  std::vector<unsigned char> bytes_;
};

// Two tensors' codes; a third of the elements are the same in both where the dtypes allow it.
std::pair<std::vector<uint64_t>, std::vector<uint64_t>> sample_pair(DType x, DType y, size_t count,
                                                                    uint64_t seed) {
  auto xs = sample_codes(format_of(x), count, seed), ys = sample_codes(format_of(y), count, seed + 1);
  for (size_t i = 0; i < count; i++) {
    if (i % 3) continue;
    if (x == y) {
      ys[i] = xs[i];
    } else if (format_of(x).is_finite(xs[i])) {
      const uint64_t same = convert(format_of(x), xs[i], format_of(y));
      if (format_of(y).is_finite(same)) ys[i] = same;
    }
  }
  return {xs, ys};
}

std::string describe(const char* isa, DType x, DType y, DType out, double alpha, size_t i, uint64_t got,
                     uint64_t expected) {
  char text[256];
  std::snprintf(text, sizeof(text), "%s (%s, %s) -> %s, alpha %g, element %zu: %llx, expected %llx", isa,
                dtype_info(x).name, dtype_info(y).name, dtype_info(out).name, alpha, i,
                static_cast<unsigned long long>(got), static_cast<unsigned long long>(expected));
  return text;
}

// Owns a context of the CPU backend.
struct Context {
  explicit Context(int threads, const char* isa = nullptr) {
    const WmOpenOptions options = {0, threads, isa};
    if (backend->open(&options, &context, &error) != WM_OK) throw std::runtime_error(error.message);
  }
  ~Context() { backend->close(context); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  WmCode lerp(const WmLerp& item, WmCancelFlag cancelled = nullptr) {
    return backend->lerp(context, &item, 1, cancelled, &error);
  }
  const WmBackend* backend = wisemerge_cpu_backend();
  WmContext* context = nullptr;
  WmError error = {};
};

WmLerp make_item(DType x_dtype, DType y_dtype, DType out_dtype, uint64_t count, const void* x, const void* y,
                 const double* alphas, void* const* outs, uint64_t* non_finite, uint32_t alpha_count = 1) {
  return {static_cast<int32_t>(x_dtype),
          static_cast<int32_t>(y_dtype),
          static_cast<int32_t>(out_dtype),
          alpha_count,
          count,
          x,
          y,
          alphas,
          outs,
          non_finite};
}

// Every size up to a few vectors and one of several blocks, at two alignments, streaming or not.
void check_triple(DType xd, DType yd, DType od) {
  const size_t kLargest = 2100;
  const auto [xs, ys] =
      sample_pair(xd, yd, kLargest, 17 + static_cast<uint64_t>(xd) * 100 + static_cast<uint64_t>(yd));
  std::vector<size_t> counts = {1001, kLargest};
  for (size_t count = 0; count <= 70; count++) counts.push_back(count);
  const ElementFn reference = find_element(xd, yd, od);
  for (double alpha : kAlphas) {
    std::vector<uint64_t> expected(kLargest), specials(kLargest + 1);
    for (size_t i = 0; i < kLargest; i++) {
      expected[i] = reference(xs[i], ys[i], alpha);
      specials[i + 1] = specials[i] + !format_of(od).is_finite(expected[i]);
    }
    for (const cpu::Kernels* kernels : levels()) {
      for (size_t skew : {0, 3}) {
        Tensor x(xd, xs, skew), y(yd, ys, 2 * skew);
        for (size_t count : counts) {
          for (bool stream : {false, true}) {
            Tensor out(od, count, 5 * skew);
            void* outs[] = {out.data()};
            uint64_t non_finite = 0;
            const WmLerp item = make_item(xd, yd, od, count, x.data(), y.data(), &alpha, outs, &non_finite);
            kernels->lerp(item, 0, count, stream, &non_finite);
            for (size_t i = 0; i < count; i++) {
              if (out[i] == expected[i]) continue;
              fail(__FILE__, __LINE__, describe(kernels->isa, xd, yd, od, alpha, i, out[i], expected[i]));
            }
            CHECK_EQ(non_finite, specials[count]);
            CHECK(out.guards_intact());
          }
        }
      }
    }
  }
}

}  // namespace

TEST("lerp: every level equals the element function for all dtype triples") {
  for (DType x : kFloatDTypes) {
    for (DType y : kFloatDTypes) {
      for (DType out : kFloatDTypes) check_triple(x, y, out);
    }
  }
}

TEST("lerp: exact arithmetic agrees, one rounding to f32 and one to the output") {
  const size_t count = 6000;
  for (DType dtype : {DType::kBF16, DType::kF16, DType::kF32, DType::kF8E5M2, DType::kF8E4M3}) {
    const Format f = format_of(dtype);
    const auto [xs, ys] = sample_pair(dtype, dtype, count, 99);
    for (double alpha : {0.37, -0.75, 1.5, 0.1}) {
      const uint64_t alpha32 = convert(kFormatF64, bit_cast<uint64_t>(alpha), kFormatF32);
      Tensor x(dtype, xs, 0), y(dtype, ys, 1);
      for (const cpu::Kernels* kernels : levels()) {
        Tensor out(dtype, count, 0);
        void* outs[] = {out.data()};
        uint64_t non_finite = 0;
        const WmLerp item =
            make_item(dtype, dtype, dtype, count, x.data(), y.data(), &alpha, outs, &non_finite);
        kernels->lerp(item, 0, count, true, &non_finite);
        for (size_t i = 0; i < count; i++) {
          if (xs[i] == ys[i]) {
            CHECK_EQ(out[i], xs[i]);
          } else if (f.is_finite(xs[i]) && f.is_finite(ys[i])) {
            uint64_t expected;
            if (!lerp_exact<ExactF32>(kFormatF32, convert(f, xs[i], kFormatF32),
                                      convert(f, ys[i], kFormatF32), alpha32, &expected)) {
              continue;
            }
            if (kFormatF32.is_infinite(expected)) {
              CHECK_EQ(out[i],
                       expected >> 31 << (f.bits() - 1) | (f.infinity ? f.infinity_code() : f.first_nan()));
            } else {
              CHECK_EQ(out[i], convert(kFormatF32, expected, f));
            }
          } else {
            // A NaN wherever either is one or infinities cancel; E4M3 has only NaN to say so.
            const bool nan = f.is_nan(xs[i]) || f.is_nan(ys[i]);
            CHECK(!f.is_finite(out[i]));
            if (nan) CHECK(f.is_nan(out[i]));
          }
        }
      }
    }
  }
}

TEST("lerp: F64 agrees with exact arithmetic") {
  const size_t count = 3000;
  const auto [xs, ys] = sample_pair(DType::kF64, DType::kF64, count, 5);
  Tensor x(DType::kF64, xs, 0), y(DType::kF64, ys, 0);
  for (double alpha : {0.37, -1.25}) {
    for (const cpu::Kernels* kernels : levels()) {
      Tensor out(DType::kF64, count, 0);
      void* outs[] = {out.data()};
      uint64_t non_finite = 0;
      kernels->lerp(make_item(DType::kF64, DType::kF64, DType::kF64, count, x.data(), y.data(), &alpha, outs,
                              &non_finite),
                    0, count, false, &non_finite);
      for (size_t i = 0; i < count; i++) {
        uint64_t expected = xs[i];
        const bool finite = kFormatF64.is_finite(xs[i]) && kFormatF64.is_finite(ys[i]);
        if (xs[i] == ys[i] || (finite && lerp_exact<ExactF64>(kFormatF64, xs[i], ys[i],
                                                              bit_cast<uint64_t>(alpha), &expected))) {
          CHECK_EQ(out[i], expected);
        } else {
          CHECK(!kFormatF64.is_finite(out[i]));
        }
      }
    }
  }
}

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
  WmOpenOptions options = {0, 1, "sse9"};
  CHECK_EQ(context.backend->open(&options, &none, &context.error), WM_INVALID_ARGUMENT);
  CHECK(std::strstr(context.error.message, "sse9"));
  options = {1, 1, nullptr};
  CHECK_EQ(context.backend->open(&options, &none, &context.error), WM_INVALID_ARGUMENT);
  options = {0, -1, nullptr};
  CHECK_EQ(context.backend->open(&options, &none, &context.error), WM_INVALID_ARGUMENT);
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
