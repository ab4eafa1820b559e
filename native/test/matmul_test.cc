// The matrix product against a chain of fused multiply-adds per element, bit for bit, at every SIMD level and
// thread count; the interpolation inside it against the element function.
#include <cmath>
#include <limits>
#include <random>

#include "lerp_fixture.h"

namespace wisemerge::test {
namespace {

struct Session {
  Session(const char* isa, int threads) {
    const WmOpenOptions options = {0, threads, isa, WM_EXACT, 0};
    WmError error{};
    if (backend->open(&options, &context, &error) != WM_OK) throw std::runtime_error(error.message);
  }
  ~Session() { backend->close(context); }
  const WmBackend* backend = wisemerge_cpu_backend();
  WmContext* context = nullptr;
};

constexpr const char* kIsas[] = {"baseline", "avx2", "avx512"};

// Elements as stored bits, in either order.
struct Stored {
  Stored(DType dtype, size_t rows, size_t columns, bool transposed, uint64_t seed)
      : dtype_(dtype), rows_(rows), columns_(columns), transposed_(transposed) {
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    bytes_.resize(rows * columns * item_size(dtype));
    for (size_t i = 0; i < rows * columns; i++) {
      const float v = normal(random);
      if (dtype == DType::kF32) std::memcpy(bytes_.data() + 4 * i, &v, 4);
      if (dtype == DType::kF16) put16(i, Element<DType::kF16>::store32(v));
      if (dtype == DType::kBF16) put16(i, Element<DType::kBF16>::store32(v));
    }
  }
  void put16(size_t i, uint16_t bits) { std::memcpy(bytes_.data() + 2 * i, &bits, 2); }
  uint64_t bits(size_t row, size_t column) const {
    const size_t at = transposed_ ? column * rows_ + row : row * columns_ + column;
    uint64_t v = 0;
    std::memcpy(&v, bytes_.data() + at * item_size(dtype_), item_size(dtype_));
    return v;
  }
  float value(size_t row, size_t column) const {
    return as_float(find_element(dtype_, dtype_, DType::kF32)(bits(row, column), bits(row, column), 0));
  }
  static float as_float(uint64_t bits) {
    const auto low = static_cast<uint32_t>(bits);
    float v;
    std::memcpy(&v, &low, 4);
    return v;
  }
  WmMatrix view() const {
    return {static_cast<int32_t>(dtype_), bytes_.data(), transposed_ ? 1 : columns_, transposed_ ? rows_ : 1};
  }

  DType dtype_;
  size_t rows_, columns_;
  bool transposed_;
  std::vector<uint8_t> bytes_;
};

void check_product(size_t m, size_t n, size_t k, DType a_dtype, DType w_dtype, bool a_transposed,
                   bool w_transposed, double alpha, bool biased) {
  const Stored a(a_dtype, m, k, a_transposed, 1), w0(w_dtype, n, k, w_transposed, 2),
      w1(w_dtype, n, k, w_transposed, 3);
  const Stored bias0(DType::kF32, 1, n, false, 4), bias1(DType::kF32, 1, n, false, 5);
  const ElementFn lerp = find_element(w_dtype, w_dtype, DType::kF32);
  const ElementFn lerp32 = find_element(DType::kF32, DType::kF32, DType::kF32);
  std::vector<float> w(n * k), expected(m * n);
  for (size_t j = 0; j < n; j++) {
    for (size_t l = 0; l < k; l++) w[j * k + l] = Stored::as_float(lerp(w0.bits(j, l), w1.bits(j, l), alpha));
  }
  for (size_t i = 0; i < m; i++) {
    for (size_t j = 0; j < n; j++) {
      float sum = biased ? Stored::as_float(lerp32(bias0.bits(0, j), bias1.bits(0, j), alpha)) : 0;
      for (size_t l = 0; l < k; l++) sum = std::fma(a.value(i, l), w[j * k + l], sum);
      expected[i * n + j] = sum;
    }
  }
  for (const char* isa : kIsas) {
    for (const int threads : {1, 3}) {
      const Session session(isa, threads);
      const size_t stride = n + 5;
      std::vector<float> out(m * stride + 1, 1234.0f);
      WmMatmul call{m, n, k, a.view(), w0.view(), w1.view(), alpha, nullptr, nullptr, out.data(), stride};
      if (biased) {
        call.bias0 = reinterpret_cast<const float*>(bias0.bytes_.data());
        call.bias1 = reinterpret_cast<const float*>(bias1.bytes_.data());
      }
      WmError error{};
      CHECK_EQ(session.backend->matmul(session.context, &call, nullptr, &error), WM_OK);
      for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < stride; j++) {
          CHECK_EQ(out[i * stride + j], j < n ? expected[i * n + j] : 1234.0f);
        }
      }
      CHECK_EQ(out.back(), 1234.0f);
    }
  }
}

}  // namespace

TEST("matmul: every edge of a tile") {
  for (const size_t m : {1, 5, 8, 13, 97}) {
    for (const size_t n : {1, 15, 48, 49, 131}) {
      check_product(m, n, 37, DType::kF32, DType::kF32, false, false, 0, false);
    }
  }
}

TEST("matmul: deeper than a block") {
  check_product(9, 50, 1025, DType::kF32, DType::kF32, false, false, 0.3, true);
  check_product(2, 3, 0, DType::kF32, DType::kF32, false, false, 0.3, true);
}

TEST("matmul: wider than a block") {
  check_product(3, 1100, 520, DType::kBF16, DType::kBF16, false, false, 0.5, true);
}

TEST("matmul: columns of a, read in place or packed") {
  for (const size_t m : {11, 12, 48, 109, 257}) {
    for (const size_t n : {1, 33, 130})
      check_product(m, n, 530, DType::kF32, DType::kF32, true, true, 0, true);
  }
}

TEST("matmul: interpolates every dtype and layout") {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const double alpha : {0.0, 0.37, 1.0, -0.5, 1.5}) {
      for (const bool transposed : {false, true}) {
        check_product(7, 53, 70, DType::kF32, dtype, !transposed, transposed, alpha, true);
        check_product(7, 53, 70, dtype, DType::kF32, transposed, !transposed, alpha, false);
      }
    }
  }
}

TEST("matmul: refuses what it cannot do") {
  const Session session("avx512", 1);
  const Stored a(DType::kF32, 2, 3, false, 1), w(DType::kF32, 4, 3, false, 2);
  std::vector<float> out(8);
  const WmMatmul good{2, 4, 3, a.view(), w.view(), w.view(), 0.5, nullptr, nullptr, out.data(), 4};
  const auto code = [&](auto change) {
    WmMatmul call = good;
    change(call);
    WmError error{};
    return session.backend->matmul(session.context, &call, nullptr, &error);
  };
  CHECK_EQ(code([](WmMatmul&) {}), WM_OK);
  CHECK_EQ(code([](WmMatmul& c) { c.a.dtype = static_cast<int32_t>(DType::kF64); }), WM_INVALID_ARGUMENT);
  CHECK_EQ(code([](WmMatmul& c) { c.w1.data = nullptr; }), WM_INVALID_ARGUMENT);
  CHECK_EQ(code([](WmMatmul& c) { c.a.row_stride = c.a.column_stride = 2; }), WM_INVALID_ARGUMENT);
  CHECK_EQ(code([](WmMatmul& c) { c.out_stride = 3; }), WM_INVALID_ARGUMENT);
  CHECK_EQ(code([](WmMatmul& c) { c.alpha = std::numeric_limits<double>::quiet_NaN(); }),
           WM_INVALID_ARGUMENT);
  CHECK_EQ(code([](WmMatmul& c) { c.out = nullptr; }), WM_INVALID_ARGUMENT);
  const int32_t cancelled = 1;
  WmError error{};
  CHECK_EQ(session.backend->matmul(session.context, &good, &cancelled, &error), WM_CANCELLED);
}

}  // namespace wisemerge::test
