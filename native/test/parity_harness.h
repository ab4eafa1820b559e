// One call of a backend on data of its own, checked bit for bit against the specification.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "cuda_reference.h"
#include "tally.h"

namespace wisemerge::test {

// Page-locking works in whole pages, so operands that are pinned must not share one.
template <class T>
struct PageAllocator {
  using value_type = T;
  static constexpr size_t kPage = 4096;
  T* allocate(size_t count) {
    void* memory = std::aligned_alloc(kPage, (count * sizeof(T) + kPage - 1) / kPage * kPage);
    if (!memory) throw std::bad_alloc();
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, size_t) { std::free(memory); }
  bool operator==(const PageAllocator&) const { return true; }
};
using Bytes = std::vector<unsigned char, PageAllocator<unsigned char>>;

inline constexpr unsigned char kPoison = 0xa5;
inline constexpr size_t kGuard = 64;  // poisoned bytes behind every output

// Operands of one WmLerp. Streams start `shift` elements into their memory.
struct LerpCase {
  LerpCase(DType x_type, DType y_type, DType out_type, uint64_t elements, std::vector<double> at,
           uint32_t shift = 0)
      : x_dtype(x_type), y_dtype(y_type), out_dtype(out_type), count(elements), alphas(std::move(at)) {
    x.resize((count + shift) * item_size(x_dtype));
    y.resize((count + shift) * item_size(y_dtype));
    x_at = x.data() + shift * item_size(x_dtype);
    y_at = y.data() + shift * item_size(y_dtype);
    out_shift = shift * item_size(out_dtype);
    outs.assign(alphas.size(), Bytes(out_shift + count * item_size(out_dtype) + kGuard));
    fill_weights(x_dtype, x_at, count, count * 7 + shift + 1);
    fill_weights(y_dtype, y_at, count, count * 11 + shift + 2);
    if (x_dtype == y_dtype) copy_some(x_dtype, x_at, y_at, count);
  }

  // Poisons the outputs and describes the call. Valid until the case changes or moves.
  WmLerp item() {
    targets.clear();
    for (auto& out : outs) {
      std::fill(out.begin(), out.end(), kPoison);
      targets.push_back(out.data() + out_shift);
    }
    non_finite.assign(alphas.size(), ~0ull);
    return {static_cast<int32_t>(x_dtype),
            static_cast<int32_t>(y_dtype),
            static_cast<int32_t>(out_dtype),
            static_cast<uint32_t>(alphas.size()),
            count,
            x_at,
            y_at,
            alphas.data(),
            targets.data(),
            non_finite.data()};
  }

  // Whether the outputs hold lerp_element's bits, the counts its counts, and the guards their poison.
  void check(Tally& tally, const std::string& backend) const {
    std::vector<unsigned char> wanted(count * item_size(out_dtype) + kGuard);
    for (size_t k = 0; k < alphas.size(); k++) {
      std::fill(wanted.begin(), wanted.end(), kPoison);
      const uint64_t bad =
          reference_lerp(x_dtype, y_dtype, out_dtype, x_at, y_at, wanted.data(), count, alphas[k]);
      const bool same = std::memcmp(outs[k].data() + out_shift, wanted.data(), wanted.size()) == 0;
      tally.expect(same && non_finite[k] == bad, backend + " lerp " + name(x_dtype) + ", " + name(y_dtype) +
                                                     " -> " + name(out_dtype) + ", " + std::to_string(count) +
                                                     " elements, alpha " + std::to_string(alphas[k]) +
                                                     (same ? ": non-finite count" : ": bits"));
    }
  }

  static std::string name(DType dtype) { return dtype_info(dtype).name; }

  DType x_dtype, y_dtype, out_dtype;
  uint64_t count;
  std::vector<double> alphas;
  Bytes x, y;
  unsigned char *x_at, *y_at;
  size_t out_shift;
  std::vector<Bytes> outs;
  std::vector<void*> targets;
  std::vector<uint64_t> non_finite;
};

// Runs all cases in one call of each context and checks every one.
inline void run_lerps(Tally& tally, const std::vector<Opened*>& contexts,
                      std::vector<std::unique_ptr<LerpCase>>& cases) {
  for (Opened* opened : contexts) {
    std::vector<WmLerp> items;
    for (auto& one : cases) items.push_back(one->item());
    WmError error = {};
    const WmCode code = opened->backend->lerp(opened->context, items.data(),
                                              static_cast<uint32_t>(items.size()), nullptr, &error);
    tally.expect(code == WM_OK, std::string(opened->backend->name) + " lerp: " + error.message);
    for (auto& one : cases) one->check(tally, opened->backend->name);
  }
}

inline void run_lerp(Tally& tally, const std::vector<Opened*>& contexts, std::unique_ptr<LerpCase> one) {
  std::vector<std::unique_ptr<LerpCase>> cases;
  cases.push_back(std::move(one));
  run_lerps(tally, contexts, cases);
}

// The same bits; a NaN only has to be one: infinities of both signs meet where F64 overflows, and devices
// differ in what they make of them.
inline bool same_sums(const CompareSums& a, const CompareSums& b) {
  const double x[] = {a.xx, a.yy, a.xy, a.dd, a.max_abs}, y[] = {b.xx, b.yy, b.xy, b.dd, b.max_abs};
  bool same = a.unchanged == b.unchanged && a.x_nan == b.x_nan && a.x_inf == b.x_inf && a.y_nan == b.y_nan &&
              a.y_inf == b.y_inf;
  for (size_t i = 0; i < std::size(x); i++) {
    same = same && (bit_cast<uint64_t>(x[i]) == bit_cast<uint64_t>(y[i]) || (x[i] != x[i] && y[i] != y[i]));
  }
  return same;
}

inline void run_compare(Tally& tally, const std::vector<Opened*>& contexts, DType x_dtype, DType y_dtype,
                        uint64_t count) {
  std::vector<unsigned char> x(count * item_size(x_dtype)), y(count * item_size(y_dtype));
  fill_weights(x_dtype, x.data(), count, count + 3);
  fill_weights(y_dtype, y.data(), count, count + 4);
  if (x_dtype == y_dtype) copy_some(x_dtype, x.data(), y.data(), count);
  const std::vector<CompareSums> wanted = reference_compare(x_dtype, y_dtype, x.data(), y.data(), count);
  for (Opened* opened : contexts) {
    std::vector<CompareSums> got(wanted.size(), CompareSums{.xx = -1, .max_abs = -1, .unchanged = 1});
    const WmCompare item = {
        static_cast<int32_t>(x_dtype), static_cast<int32_t>(y_dtype), count, x.data(), y.data(), got.data()};
    WmError error = {};
    const WmCode code = opened->backend->compare(opened->context, &item, 1, nullptr, &error);
    const bool same = std::equal(got.begin(), got.end(), wanted.begin(), wanted.end(), same_sums);
    tally.expect(code == WM_OK && same, std::string(opened->backend->name) + " compare " +
                                            LerpCase::name(x_dtype) + ", " + LerpCase::name(y_dtype) + ", " +
                                            std::to_string(count) +
                                            " elements: " + (code == WM_OK ? "bits" : error.message));
  }
}

}  // namespace wisemerge::test
