// What the tests of interpolation share: SIMD levels, the element function of a dtype triple, guarded
// tensors.
#pragma once

#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "cpu/cpu_backend.h"
#include "cpu/kernels.h"
#include "oracle.h"
#include "wisemerge/lerp.h"

namespace wisemerge::test {

// -1e-60 becomes -0 in f32, 1e300 infinity.
inline constexpr double kAlphas[] = {0.37, 0.0, 1.0, -0.75, 1.5, -1e-60, 0.5, 1e300};

inline std::vector<const cpu::Kernels*> levels() {
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
inline ElementFn find_element(DType x, DType y, DType out) {
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
inline std::pair<std::vector<uint64_t>, std::vector<uint64_t>> sample_pair(DType x, DType y, size_t count,
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

inline std::string describe(const char* isa, DType x, DType y, DType out, double alpha, size_t i,
                            uint64_t got, uint64_t expected) {
  char text[256];
  std::snprintf(text, sizeof(text), "%s (%s, %s) -> %s, alpha %g, element %zu: %llx, expected %llx", isa,
                dtype_info(x).name, dtype_info(y).name, dtype_info(out).name, alpha, i,
                static_cast<unsigned long long>(got), static_cast<unsigned long long>(expected));
  return text;
}

// Owns a context of the CPU backend.
struct Context {
  explicit Context(int threads, const char* isa = nullptr) {
    const WmOpenOptions options = {0, threads, isa, WM_EXACT, 0};
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

inline WmLerp make_item(DType x_dtype, DType y_dtype, DType out_dtype, uint64_t count, const void* x,
                        const void* y, const double* alphas, void* const* outs, uint64_t* non_finite,
                        uint32_t alpha_count = 1) {
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

}  // namespace wisemerge::test
