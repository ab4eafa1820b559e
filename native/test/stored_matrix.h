// A matrix of random numbers as a caller of the matrix product may store it.
#pragma once

#include <cstring>
#include <random>
#include <vector>

#include "cuda/kernels/matmul.h"
#include "wisemerge/backend.h"

namespace wisemerge::test {

// A matrix in either order, its lines `gap` elements apart, starting `shift` elements past an aligned
// address.
struct Stored {
  Stored(DType type, size_t rows, size_t columns, bool transposed, size_t gap, size_t shift, uint64_t seed)
      : dtype(type), line((transposed ? rows : columns) + gap), by_rows(!transposed) {
    const size_t count = line * (transposed ? columns : rows) + shift;
    bytes.resize(count * item_size(dtype));
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    for (size_t i = 0; i < count; i++) {
      const float value = random() % 16 == 0 ? -0.0f : normal(random);
      const uint32_t bits = dtype == DType::kF32   ? Element<DType::kF32>::store32(value)
                            : dtype == DType::kF16 ? Element<DType::kF16>::store32(value)
                                                   : Element<DType::kBF16>::store32(value);
      std::memcpy(bytes.data() + i * item_size(dtype), &bits, item_size(dtype));
    }
    first = bytes.data() + shift * item_size(dtype);
  }
  WmMatrix view() const {
    return {static_cast<int32_t>(dtype), first, by_rows ? line : 1, by_rows ? 1 : line};
  }
  cuda::MatmulOperand operand() const { return {first, by_rows ? line : 1, by_rows ? 1 : line, dtype}; }

  const void* at(size_t i, size_t j) const {
    return first + (by_rows ? i * line + j : j * line + i) * item_size(dtype);
  }
  float value(size_t i, size_t j) const {
    uint32_t bits = 0;
    std::memcpy(&bits, at(i, j), item_size(dtype));
    return dtype == DType::kF32   ? bit_cast<float>(bits)
           : dtype == DType::kF16 ? f16_to_f32(static_cast<uint16_t>(bits))
                                  : bf16_to_f32(static_cast<uint16_t>(bits));
  }
  void set(size_t i, size_t j, float value) {  // of an F32 matrix
    std::memcpy(const_cast<void*>(at(i, j)), &value, sizeof(value));
  }

  DType dtype;
  size_t line;
  bool by_rows;
  std::vector<uint8_t> bytes;
  const uint8_t* first;
};

}  // namespace wisemerge::test
