// Tensors that the kernels of merging are tried on, and what may be kept of them.
#pragma once

#include "merge_reference.h"

namespace wisemerge::test {

inline constexpr DType kWorkDTypes[] = {DType::kBF16, DType::kF16, DType::kF32, DType::kF64};

struct Shape {
  std::vector<DType> dtypes;
  DType base;
  size_t count, row;
};
// Every dtype as input and as base, odd sizes around a tile's, one model and many.
inline const std::vector<Shape>& shapes() {
  constexpr DType kB = DType::kBF16, kH = DType::kF16, kF = DType::kF32, kD = DType::kF64,
                  kE5 = DType::kF8E5M2, kE4 = DType::kF8E4M3;
  static const std::vector<Shape> all = {
      {{kB}, kB, 0, 1},
      {{kB}, kB, 1, 1},
      {{kB, kB}, kB, 37, 37},
      {{kB, kB, kB}, kB, 2070, 69},
      {{kF, kF}, kF, 1024, 8},
      {{kF, kB, kH, kE4}, kH, 1047, 349},
      {{kE5, kE4}, kE5, 300, 5},
      {{kE4, kE4, kE4}, kE4, 131, 131},
      {{kD, kB}, kB, 1100, 11},
      {{kF, kH}, kD, 1029, 1029},
      {{kD, kD, kD, kD, kD}, kD, 77, 7},
      {std::vector<DType>(65, kB), kB, 70, 35},
      {std::vector<DType>(66, kF), kD, 34, 2},
  };
  return all;
}

inline std::string name_of(const Shape& shape) {
  return std::to_string(shape.dtypes.size()) + " x " + dtype_info(shape.dtypes[0]).name + ", base " +
         dtype_info(shape.base).name + ", " + std::to_string(shape.count);
}

inline std::vector<double> row_scores(const MergeTensors& tensors) {
  std::vector<double> scores;
  for (size_t row = 0; row * tensors.row < tensors.count; row++) {
    scores.push_back(0.001 * static_cast<double>(1 + row * 7919 % 1000));
  }
  return scores;
}

// Keeps of every rule and score, with ends in the middle of what the tensors have.
struct Keeps {
  std::vector<double> scores;
  std::vector<uint8_t> mask;
  std::vector<WmKeep> all;

  template <class Reference>
  Keeps(const MergeTensors& tensors, const Reference& reference, size_t start)
      : scores(row_scores(tensors)), mask((tensors.count + 7) / 8) {
    std::mt19937_64 random(start);
    for (uint8_t& byte : mask) byte = static_cast<uint8_t>(random());
    for (size_t i = 0; i < tensors.x.size(); i++) {
      WmKeep keep = {};
      const size_t sort = (start + i) % 7;
      keep.rule = sort < 4    ? WM_KEEP_RANKED
                  : sort == 4 ? WM_KEEP_RANDOM
                  : sort == 5 ? WM_KEEP_MASKED
                              : WM_KEEP_ALL;
      keep.score = sort < 3 ? static_cast<int32_t>(sort) : WM_SCORE_MAGNITUDE;
      keep.row_scores = scores.data();
      keep.mask = mask.data();
      keep.probability = 0.4;
      keep.key = random();
      keep.stream = static_cast<uint32_t>(i);
      if (tensors.count > 0) {
        const auto key_of = [&](size_t e) {
          return merge_key(reference.score(keep.score, scores.data(), i, e));
        };
        const size_t a = random() % tensors.count, b = random() % tensors.count;
        keep.low_key = std::min(key_of(a), key_of(b));
        keep.high_key = sort == 3 ? UINT64_MAX : std::max(key_of(a), key_of(b));
        keep.low_from = tensors.count / 5;
        keep.low_to = tensors.count / 2 + 1;
        keep.high_to = tensors.count / 3;
      }
      all.push_back(keep);
    }
  }
};

}  // namespace wisemerge::test
