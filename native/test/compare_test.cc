// The comparison kernels: the documented order replayed element by element (exact), and long double sums
// (within rounding).
#include "wisemerge/compare.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "check.h"
#include "cpu/cpu_backend.h"
#include "cpu/kernels.h"
#include "oracle.h"

using namespace wisemerge;
using namespace wisemerge::test;

namespace {

template <DType X, DType Y>
void add_element(CompareSums& lane, uint64_t x, uint64_t y) {
  compare_element<X, Y>(lane, static_cast<typename Element<X>::Bits>(x),
                        static_cast<typename Element<Y>::Bits>(y));
}
using AddFn = void (*)(CompareSums&, uint64_t, uint64_t);

template <size_t... I>
AddFn find_add(DType x, DType y, std::index_sequence<I...>) {
  AddFn found = nullptr;
  ((kFloatDTypes[I / 6] == x && kFloatDTypes[I % 6] == y
        ? void(found = &add_element<kFloatDTypes[I / 6], kFloatDTypes[I % 6]>)
        : void()),
   ...);
  return found;
}

std::vector<CompareSums> replay(DType xd, DType yd, const std::vector<uint64_t>& x,
                                const std::vector<uint64_t>& y) {
  const AddFn add = find_add(xd, yd, std::make_index_sequence<36>());
  std::vector<CompareSums> spans;
  for (size_t begin = 0; begin < x.size(); begin += kCompareBlock) {
    if (begin % kCompareSpan == 0) spans.emplace_back();
    CompareSums lanes[kCompareLanes];
    for (size_t i = begin; i < std::min(x.size(), begin + kCompareBlock); i++) {
      add(lanes[(i - begin) % kCompareLanes], x[i], y[i]);
    }
    for (size_t s = kCompareLanes / 2; s > 0; s /= 2) {
      for (size_t i = 0; i < s; i++) compare_add(lanes[i], lanes[i + s]);
    }
    compare_add(spans.back(), lanes[0]);
  }
  return spans;
}

// The same bits; a NaN (from infinite sums) only has to be one.
bool same(double a, double b) { return bit_cast<uint64_t>(a) == bit_cast<uint64_t>(b) || (a != a && b != b); }

void check_same(const CompareSums& a, const CompareSums& b, const std::string& where) {
  const bool equal = same(a.xx, b.xx) && same(a.yy, b.yy) && same(a.xy, b.xy) && same(a.dd, b.dd) &&
                     same(a.max_abs, b.max_abs) && a.unchanged == b.unchanged && a.x_nan == b.x_nan &&
                     a.x_inf == b.x_inf && a.y_nan == b.y_nan && a.y_inf == b.y_inf;
  if (equal) return;
  char text[512];
  std::snprintf(text, sizeof(text),
                "%s: xx %.17g/%.17g yy %.17g/%.17g xy %.17g/%.17g dd %.17g/%.17g max %g/%g same %llu/%llu",
                where.c_str(), a.xx, b.xx, a.yy, b.yy, a.xy, b.xy, a.dd, b.dd, a.max_abs, b.max_abs,
                static_cast<unsigned long long>(a.unchanged), static_cast<unsigned long long>(b.unchanged));
  fail(__FILE__, __LINE__, text);
}

std::vector<CompareSums> run(int threads, const char* isa, DType xd, DType yd, const void* x, const void* y,
                             size_t count) {
  const WmBackend* backend = wisemerge_cpu_backend();
  const WmOpenOptions options = {0, threads, isa, WM_EXACT, 0};
  WmContext* context = nullptr;
  WmError error;
  CHECK_EQ(backend->open(&options, &context, &error), WM_OK);
  std::vector<CompareSums> sums((count + kCompareSpan - 1) / kCompareSpan);
  const WmCompare item = {static_cast<int32_t>(xd), static_cast<int32_t>(yd), count, x, y, sums.data()};
  CHECK_EQ(backend->compare(context, &item, 1, nullptr, &error), WM_OK);
  backend->close(context);
  return sums;
}

void check_pair(DType xd, DType yd, size_t count, bool specials) {
  auto x = sample_codes(format_of(xd), count, 31 + count), y = sample_codes(format_of(yd), count, 32 + count);
  for (size_t i = 0; i < count; i++) {
    if (!specials && !format_of(xd).is_finite(x[i])) x[i] = 1;
    if (!specials && !format_of(yd).is_finite(y[i])) y[i] = 1;
    if (i % 3 == 0 && xd == yd) y[i] = x[i];
  }
  // One element past an aligned start: no kernel may count on more than the element's alignment.
  std::vector<uint64_t> x_store(count + 2), y_store(count + 2);
  char* x_at = reinterpret_cast<char*>(x_store.data()) + item_size(xd);
  char* y_at = reinterpret_cast<char*>(y_store.data());
  store_codes(xd, x, x_at);
  store_codes(yd, y, y_at);
  const auto expected = replay(xd, yd, x, y);
  for (const char* isa : {"baseline", "avx2", "avx512"}) {
    const auto sums = run(1, isa, xd, yd, x_at, y_at, count);
    CHECK_EQ(sums.size(), expected.size());
    for (size_t s = 0; s < sums.size(); s++) {
      check_same(sums[s], expected[s],
                 std::string(isa) + " " + dtype_info(xd).name + " " + dtype_info(yd).name + " " +
                     std::to_string(count));
    }
  }
}

}  // namespace

TEST("compare: every level replays the documented order for all dtype pairs") {
  for (DType x : kFloatDTypes) {
    for (DType y : kFloatDTypes) {
      for (size_t count : {0, 1, 31, 32, 33, 100, 4095, 4096, 4097, 9000}) {
        check_pair(x, y, count, true);
        check_pair(x, y, count, false);
      }
    }
  }
}

TEST("compare: spans do not depend on threads") {
  const size_t count = 3 * kCompareSpan + 12345;
  const auto x = sample_codes(kFormatBF16, count, 1), y = sample_codes(kFormatBF16, count, 2);
  std::vector<uint16_t> xs(x.begin(), x.end()), ys(y.begin(), y.end());
  const auto expected = replay(DType::kBF16, DType::kBF16, x, y);
  CHECK_EQ(expected.size(), 4u);
  for (const char* isa : {"baseline", "avx2", "avx512"}) {
    for (int threads : {1, 2, 4}) {
      const auto sums = run(threads, isa, DType::kBF16, DType::kBF16, xs.data(), ys.data(), count);
      for (size_t s = 0; s < 4; s++) check_same(sums[s], expected[s], isa);
    }
  }
}

TEST("compare: sums agree with long double") {
  const size_t count = 50000;
  std::vector<float> x(count), y(count);
  std::mt19937_64 random(8);
  std::normal_distribution<float> normal;
  long double xx = 0, yy = 0, xy = 0, dd = 0;
  double max_abs = 0;
  uint64_t unchanged = 0;
  for (size_t i = 0; i < count; i++) {
    x[i] = normal(random);
    y[i] = i % 4 ? x[i] + 0.01f * normal(random) : x[i];
    const long double a = x[i], b = y[i];
    xx += a * a;
    yy += b * b;
    xy += a * b;
    dd += (b - a) * (b - a);
    max_abs = std::max(max_abs, std::fabs(static_cast<double>(y[i]) - x[i]));
    unchanged += x[i] == y[i];
  }
  const CompareSums sums = run(2, nullptr, DType::kF32, DType::kF32, x.data(), y.data(), count)[0];
  CHECK(std::fabs(sums.xx - static_cast<double>(xx)) < 1e-12 * static_cast<double>(xx));
  CHECK(std::fabs(sums.yy - static_cast<double>(yy)) < 1e-12 * static_cast<double>(yy));
  CHECK(std::fabs(sums.xy - static_cast<double>(xy)) < 1e-12 * static_cast<double>(xx));
  CHECK(std::fabs(sums.dd - static_cast<double>(dd)) < 1e-12 * static_cast<double>(dd));
  CHECK_EQ(sums.max_abs, max_abs);
  CHECK_EQ(sums.unchanged, unchanged);
  CHECK_EQ(sums.x_nan + sums.x_inf + sums.y_nan + sums.y_inf, 0u);
}

TEST("compare: NaN and infinities are counted and left out") {
  std::vector<float> x(64, 1), y(64, 3);
  x[5] = NAN;
  y[5] = NAN;
  x[40] = INFINITY;
  y[63] = -INFINITY;
  const CompareSums sums = run(1, nullptr, DType::kF32, DType::kF32, x.data(), y.data(), x.size())[0];
  CHECK_EQ(sums.x_nan, 1u);
  CHECK_EQ(sums.y_nan, 1u);
  CHECK_EQ(sums.x_inf, 1u);
  CHECK_EQ(sums.y_inf, 1u);
  CHECK_EQ(sums.xx, 61.0);
  CHECK_EQ(sums.dd, 244.0);
  CHECK_EQ(sums.max_abs, 2.0);
  CHECK_EQ(sums.unchanged, 1u);
}

TEST("compare: wrong arguments are refused, a raised flag cancels") {
  const WmBackend* backend = wisemerge_cpu_backend();
  const WmOpenOptions options = {0, 1, nullptr, WM_EXACT, 0};
  WmContext* context = nullptr;
  WmError error;
  CHECK_EQ(backend->open(&options, &context, &error), WM_OK);
  float x[4] = {}, y[4] = {};
  CompareSums sums;
  const int32_t f32 = static_cast<int32_t>(DType::kF32), u8 = static_cast<int32_t>(DType::kU8);
  const auto code = [&](const WmCompare& item) {
    return backend->compare(context, &item, 1, nullptr, &error);
  };
  CHECK_EQ(code({u8, f32, 4, x, y, &sums}), WM_INVALID_ARGUMENT);
  CHECK_EQ(code({f32, f32, 4, x, nullptr, &sums}), WM_INVALID_ARGUMENT);
  CHECK(std::strstr(error.message, "y is null"));
  CHECK_EQ(code({f32, f32, 4, x, y, nullptr}), WM_INVALID_ARGUMENT);
  CHECK_EQ(code({f32, f32, 4, x, y, &sums}), WM_OK);
  const volatile int32_t cancelled = 1;
  const WmCompare item = {f32, f32, 4, x, y, &sums};
  CHECK_EQ(backend->compare(context, &item, 1, &cancelled, &error), WM_CANCELLED);
  backend->close(context);
}
