// Matrix products by tensor cores on a device: within the bound that the host replay is held to.
#include <cmath>

#include "cuda/kernels/tensor_matmul.h"
#include "cuda_parity_heads.h"
#include "matmul_case.h"

namespace wisemerge::test {
namespace {

float element(const WmMatrix& matrix, uint64_t i, uint64_t j) {
  float value = 0;
  with_dtype(static_cast<DType>(matrix.dtype), [&]<DType D>() {
    const uint64_t at = i * matrix.row_stride + j * matrix.column_stride;
    value = static_cast<float>(
        Element<D>::load64(static_cast<const typename Element<D>::Bits*>(matrix.data)[at]));
  });
  return value;
}

float between(float x, float y, double alpha) {
  return bit_cast<float>(lerp_element<DType::kF32, DType::kF32, DType::kF32>(
      bit_cast<uint32_t>(x), bit_cast<uint32_t>(y), static_cast<float>(alpha)));
}

// Every `step`th element against f64.
void run_tensor(Tally& tally, Opened& cuda, const MatmulCase& one, uint64_t out_gap = 0, uint64_t step = 1) {
  const uint64_t stride = one.n + out_gap;
  std::vector<float> got(one.m * stride, 77.0f), again(got);
  const WmMatmul call = one.call(got.data(), stride), second = one.call(again.data(), stride);
  WmError error = {};
  WmCode code = cuda.backend->matmul(cuda.context, &call, nullptr, &error);
  if (code == WM_OK) code = cuda.backend->matmul(cuda.context, &second, nullptr, &error);
  const bool plain = one.alpha == 0 || one.alpha == 1;
  const double bound =
      cuda::tensor_matmul_bound(one.k, one.a_dtype != DType::kBF16, !plain || one.w_dtype != DType::kBF16);
  double worst = 0;
  bool gaps = true;
  for (uint64_t at = 0; at < one.m * stride; at += step) {
    const uint64_t i = at / stride, j = at % stride;
    if (j >= one.n) {
      gaps = gaps && got[at] == 77.0f;
      continue;
    }
    double exact = between(one.bias0[j], one.bias1[j], one.alpha), size = std::fabs(exact);
    for (uint64_t l = 0; l < one.k; l++) {
      const double a = element(one.a, i, l);
      const double w = between(element(one.w0, j, l), element(one.w1, j, l), one.alpha);
      exact += a * w;
      size += std::fabs(a * w);
    }
    const double distance = std::fabs(got[at] - exact);
    worst = std::fmax(worst, distance <= bound * size ? distance / (bound * size + 1e-300) : INFINITY);
  }
  tally.expect(code == WM_OK && worst <= 1,
               "tensor cores, matmul " + text(one) + ": " +
                   (code == WM_OK ? std::to_string(worst) + " of the bound" : error.message));
  tally.expect(gaps, "tensor cores, matmul " + text(one) + ": nothing between the rows");
  tally.expect(got == again, "tensor cores, matmul " + text(one) + ": the same bits at every run");
}

}  // namespace

void check_tensor_products(Tally& tally, Opened& cuda, bool reduced) {
  for (const DType w : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const DType a : {DType::kF32, DType::kF16, DType::kBF16}) {
      for (const bool transposed : {false, true}) {
        for (const double alpha : {0.0, 1.0, 0.3}) {
          run_tensor(tally, cuda, {35, 131, 21, a, w, transposed, !transposed, alpha}, 2);
        }
        run_tensor(tally, cuda, {67, 40, 48, a, w, transposed, transposed, 1.2, 5});
      }
    }
  }
  for (const uint64_t size : {1u, 2u, 129u}) {
    run_tensor(tally, cuda, {size, 200 - size, size, DType::kF32, DType::kF32, false, false, 0.5});
  }
  run_tensor(tally, cuda, {3, 5, 0, DType::kF32, DType::kF32, false, false, 0.5});
  if (!reduced) {
    // A prime apart, so that all columns and many rows are met.
    run_tensor(tally, cuda, {20011, 1000, 768, DType::kF32, DType::kF32, false, false, 0.3}, 0, 1009);
    run_tensor(tally, cuda, {20011, 1000, 768, DType::kBF16, DType::kBF16, false, true, 1.0}, 24, 1009);
    run_tensor(tally, cuda, {130, 6000, 8192, DType::kF32, DType::kBF16, false, false, 0.7}, 0, 1009);
  }

  // An infinity among the features: its row as the f32 product has it, the others untouched by it.
  MatmulCase one(40, 150, 33, DType::kF32, DType::kF32, false, false, 0.5);
  reinterpret_cast<float*>(one.a_memory.data())[3 * 33 + 8] = INFINITY;
  std::vector<float> out(one.m * one.n);
  const WmMatmul call = one.call(out.data(), one.n);
  WmError error = {};
  tally.expect(cuda.backend->matmul(cuda.context, &call, nullptr, &error) == WM_OK, error.message);
  bool right = true;
  for (uint64_t at = 0; at < out.size(); at++) {
    const uint64_t i = at / one.n, j = at % one.n;
    const float w = between(element(one.w0, j, 8), element(one.w1, j, 8), 0.5);
    right = right && (i == 3 ? out[at] == (w > 0 ? INFINITY : -INFINITY) : std::isfinite(out[at]));
  }
  tally.expect(right, "tensor cores keep an infinity in its row, with its sign");
}

}  // namespace wisemerge::test
