// What the tests of merging share: tensors of any dtypes, and their calls on one SIMD level.
#pragma once

#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.h"
#include "cpu/cpu_backend.h"
#include "oracle.h"
#include "wisemerge/merge.h"

namespace wisemerge::test {

inline constexpr const char* kLevels[] = {"baseline", "avx2", "avx512"};

// Runs `function` with a value of the dtype's constant.
template <class Function>
auto with_dtype(DType dtype, const Function& function) {
  switch (dtype) {
    case DType::kF64:
      return function(std::integral_constant<DType, DType::kF64>());
    case DType::kF32:
      return function(std::integral_constant<DType, DType::kF32>());
    case DType::kF16:
      return function(std::integral_constant<DType, DType::kF16>());
    case DType::kBF16:
      return function(std::integral_constant<DType, DType::kBF16>());
    case DType::kF8E5M2:
      return function(std::integral_constant<DType, DType::kF8E5M2>());
    default:
      return function(std::integral_constant<DType, DType::kF8E4M3>());
  }
}

// One tensor, one element past an aligned start: no kernel may count on more than its elements' alignment.
class MergeTensor {
 public:
  MergeTensor(DType dtype, const std::vector<uint64_t>& codes) : dtype_(dtype), memory_(codes.size() + 2) {
    store_codes(dtype, codes, data());
  }
  DType dtype() const { return dtype_; }
  char* data() { return reinterpret_cast<char*>(memory_.data()) + item_size(dtype_); }
  const char* data() const { return reinterpret_cast<const char*>(memory_.data()) + item_size(dtype_); }
  uint64_t code(size_t e) const { return load_code(dtype_, data(), e); }
  template <class Scalar>
  Scalar value(size_t e) const {
    return with_dtype(dtype_, [&](auto d) -> Scalar {
      using E = Element<decltype(d)::value>;
      const auto bits = static_cast<typename E::Bits>(code(e));
      if constexpr (sizeof(Scalar) == 8) {
        return E::load64(bits);
      } else {
        return E::load32(bits);
      }
    });
  }

 private:
  DType dtype_;
  std::vector<uint64_t> memory_;
};

// An element by the conversions of convert.h alone, not by the element functions that kernels use.
inline double decoded(const MergeTensor& tensor, size_t e) {
  return bit_cast<double>(convert(format_of(tensor.dtype()), tensor.code(e), kFormatF64));
}

template <class Scalar>
uint64_t store(DType dtype, Scalar value) {
  return with_dtype(dtype, [&](auto d) -> uint64_t {
    using E = Element<decltype(d)::value>;
    if constexpr (sizeof(Scalar) == 8) {
      return E::store64(value);
    } else {
      return E::store32(value);
    }
  });
}

// N tensors and perhaps a base. `inputs` gives a range of them, whose pointers live as long as this.
struct MergeTensors {
  std::vector<MergeTensor> x;
  std::unique_ptr<MergeTensor> base;
  size_t count = 0, row = 0;
  mutable std::vector<const void*> pointers;
  mutable std::vector<int32_t> dtypes;

  bool wide() const {
    bool wide = base && base->dtype() == DType::kF64;
    for (const MergeTensor& tensor : x) wide = wide || tensor.dtype() == DType::kF64;
    return wide;
  }
  WmMergeInputs inputs(size_t first, size_t size) const {
    pointers.clear();
    dtypes.clear();
    for (const MergeTensor& tensor : x) {
      pointers.push_back(tensor.data() + first * item_size(tensor.dtype()));
      dtypes.push_back(static_cast<int32_t>(tensor.dtype()));
    }
    const void* from = base ? base->data() + first * item_size(base->dtype()) : nullptr;
    return {first,
            size,
            row,
            static_cast<uint32_t>(x.size()),
            base ? static_cast<int32_t>(base->dtype()) : 0,
            from,
            pointers.data(),
            dtypes.data()};
  }
  WmMergeInputs inputs() const { return inputs(0, count); }

  template <class Scalar>
  Scalar delta(size_t i, size_t e) const {
    return base ? merge_delta(x[i].value<Scalar>(e), base->value<Scalar>(e)) : x[i].value<Scalar>(e);
  }
};

// Codes of every sort, a third of them those of the base where the dtypes are the same: deltas of 0. Without
// `specials` all are finite.
inline MergeTensors make_tensors(const std::vector<DType>& dtypes, DType base, bool with_base, size_t count,
                                 size_t row, bool specials, uint64_t seed) {
  MergeTensors tensors;
  tensors.count = count;
  tensors.row = row;
  const auto finite = [&](DType dtype, std::vector<uint64_t>& codes) {
    for (uint64_t& code : codes) {
      if (!specials && !format_of(dtype).is_finite(code)) code = 1;
    }
  };
  auto base_codes = sample_codes(format_of(base), count, seed);
  finite(base, base_codes);
  for (size_t i = 0; i < dtypes.size(); i++) {
    auto codes = sample_codes(format_of(dtypes[i]), count, seed + 1 + i);
    finite(dtypes[i], codes);
    for (size_t e = i; e < count && dtypes[i] == base; e += 3) codes[e] = base_codes[e];
    tensors.x.emplace_back(dtypes[i], codes);
  }
  if (with_base) tensors.base = std::make_unique<MergeTensor>(base, base_codes);
  return tensors;
}

// f32 tensors around a base as fine-tuning leaves them: deltas of a few magnitudes, some of 0.
inline MergeTensors tuned_tensors(size_t models, size_t count, size_t row, uint64_t seed,
                                  DType dtype = DType::kBF16) {
  MergeTensors tensors;
  tensors.count = count;
  tensors.row = row;
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> base(count);
  for (float& value : base) value = 0.02f * normal(random);
  const auto codes = [&](const auto& value) {
    std::vector<uint64_t> all(count);
    for (size_t e = 0; e < count; e++) all[e] = store<float>(dtype, value(e));
    return all;
  };
  for (size_t i = 0; i < models; i++) {
    tensors.x.emplace_back(
        dtype, codes([&](size_t e) { return random() % 5 ? base[e] + 0.002f * normal(random) : base[e]; }));
  }
  tensors.base = std::make_unique<MergeTensor>(dtype, codes([&](size_t e) { return base[e]; }));
  return tensors;
}

// The calls of one opened backend.
struct MergeCalls {
  WmCode count(const WmMergeCount& call, WmCancelFlag cancelled = nullptr) {
    return backend->merge_count(context, &call, cancelled, &error);
  }
  WmCode sums(const WmMergeSums& call, WmCancelFlag cancelled = nullptr) {
    return backend->merge_sums(context, &call, cancelled, &error);
  }
  WmCode gram(const WmMergeGram& call, WmCancelFlag cancelled = nullptr) {
    return backend->merge_gram(context, &call, cancelled, &error);
  }
  WmCode overlap(const WmMergeOverlap& call, WmCancelFlag cancelled = nullptr) {
    return backend->merge_overlap(context, &call, cancelled, &error);
  }
  WmCode rank_mask(const WmMergeRankMask& call, WmCancelFlag cancelled = nullptr) {
    return backend->merge_rank_mask(context, &call, cancelled, &error);
  }
  WmCode divergence(const WmMergeDivergence& call, WmCancelFlag cancelled = nullptr) {
    return backend->merge_divergence(context, &call, cancelled, &error);
  }
  WmCode combine(const WmMergeCombine& call, WmCancelFlag cancelled = nullptr) {
    return backend->merge_combine(context, &call, cancelled, &error);
  }
  const WmBackend* backend;
  WmContext* context = nullptr;
  WmError error = {};
};

struct MergeContext : MergeCalls {
  explicit MergeContext(const char* isa = nullptr, int threads = 1) : MergeCalls{wisemerge_cpu_backend()} {
    const WmOpenOptions options = {0, threads, isa, WM_EXACT, 0};
    if (backend->open(&options, &context, &error) != WM_OK) throw std::runtime_error(error.message);
  }
  ~MergeContext() { backend->close(context); }
  MergeContext(const MergeContext&) = delete;
  MergeContext& operator=(const MergeContext&) = delete;
};

// The same bits; a NaN only has to be one.
inline bool same_sum(double a, double b) {
  return bit_cast<uint64_t>(a) == bit_cast<uint64_t>(b) || (a != a && b != b);
}
inline void check_sums(const std::vector<double>& got, const std::vector<double>& expected,
                       const std::string& where) {
  CHECK_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); i++) {
    if (same_sum(got[i], expected[i])) continue;
    char text[160];
    std::snprintf(text, sizeof(text), ": number %zu is %.17g, expected %.17g", i, got[i], expected[i]);
    fail(__FILE__, __LINE__, where + text);
    return;
  }
}

}  // namespace wisemerge::test
