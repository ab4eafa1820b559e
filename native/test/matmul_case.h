// One matrix product to try on a device.
#pragma once

#include "parity_harness.h"

namespace wisemerge::test {

// Operands of one WmMatmul, all lines `gap` elements apart.
struct MatmulCase {
  MatmulCase(uint64_t rows, uint64_t columns, uint64_t depth, DType a_type, DType w_type, bool a_transposed,
             bool w_transposed, double at, uint64_t gap = 0)
      : m(rows), n(columns), k(depth), a_dtype(a_type), w_dtype(w_type), alpha(at), bias0(n), bias1(n) {
    const auto matrix = [&](Bytes& memory, DType dtype, uint64_t lines, uint64_t across, bool transposed,
                            uint64_t seed) -> WmMatrix {
      const uint64_t line = (transposed ? lines : across) + gap, count = (transposed ? across : lines) * line;
      memory.resize((count + 1) * item_size(dtype));
      with_dtype(dtype, [&]<DType D>() {
        Random random(seed);
        auto* elements = reinterpret_cast<typename Element<D>::Bits*>(memory.data());
        for (uint64_t i = 0; i < count; i++) {
          elements[i] =
              Element<D>::store64(static_cast<double>(static_cast<int64_t>(random.next())) * 0x1p-62);
        }
      });
      return {static_cast<int32_t>(dtype), memory.data(), transposed ? 1 : line, transposed ? line : 1};
    };
    a = matrix(a_memory, a_dtype, m, k, a_transposed, 1);
    w0 = matrix(w0_memory, w_dtype, n, k, w_transposed, 2);
    w1 = matrix(w1_memory, w_dtype, n, k, w_transposed, 3);
    Random random(4);
    for (uint64_t j = 0; j < n; j++) {
      bias0[j] = static_cast<float>(random.next() % 1000) * 0.01f;
      bias1[j] = j % 3 ? static_cast<float>(random.next() % 1000) * 0.01f : bias0[j];
    }
  }
  WmMatmul call(float* out, uint64_t stride) const {
    return {m, n, k, a, w0, w1, alpha, bias0.data(), bias1.data(), out, stride};
  }

  uint64_t m, n, k;
  DType a_dtype, w_dtype;
  double alpha;
  Bytes a_memory, w0_memory, w1_memory;
  WmMatrix a, w0, w1;
  std::vector<float> bias0, bias1;
};

inline std::string text(const MatmulCase& one) {
  return std::to_string(one.m) + " x " + std::to_string(one.n) + " x " + std::to_string(one.k) + ", " +
         LerpCase::name(one.a_dtype) + " by " + LerpCase::name(one.w_dtype) + ", alpha " +
         std::to_string(one.alpha);
}

}  // namespace wisemerge::test
