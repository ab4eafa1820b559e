// Descriptions of head calls: ranges inside the arena pass, everything else is a typed error.
#include "core/head_rows.h"

#include <string>
#include <vector>

#include "check.h"
#include "core/status.h"
#include "error_code.h"
#include "wisemerge/dtype.h"
#include "wisemerge/head.h"

namespace wisemerge::test {
namespace {

constexpr double kF32 = static_cast<double>(DType::kF32), kBF16 = static_cast<double>(DType::kBF16);
uint64_t arena[512];

}  // namespace

TEST("head rows: a matrix product that fills the arena to its last byte") {
  // a: 3 x 4 BF16 at 0, w0 and w1: 5 x 4 F32 at 24 and 104, biases at 184 and 204, out: 3 x 5 at 224.
  const std::vector<double> good = {3, 5, 4, kBF16, 0, 4, 1, kF32, 24, 104, 4, 1, 0.5, 184, 204, 224, 5};
  const auto parse = [&](size_t at, double value, uint64_t bytes = 284) {
    std::vector<double> numbers = good;
    if (at < numbers.size()) numbers[at] = value;
    return code_of(
        [&] { parse_matmul(numbers.data(), numbers.size(), reinterpret_cast<uint8_t*>(arena), bytes); });
  };
  CHECK_EQ(parse(99, 0), "none");
  CHECK_EQ(parse(99, 0, 283), "ERR_INTERNAL_RANGE");
  CHECK_EQ(parse(9, -1), "none");
  CHECK_EQ(parse(14, -1), "none");
  CHECK_EQ(parse(0, 4), "ERR_INTERNAL_RANGE");
  CHECK_EQ(parse(5, 1e15), "ERR_INTERNAL_RANGE");
  CHECK_EQ(parse(8, 25), "ERR_INTERNAL_RANGE");
  CHECK_EQ(parse(8, -1), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(parse(3, 999), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(parse(3, static_cast<double>(DType::kI32)), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(parse(12, 0.0 / 0.0), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(parse(1, 2.5), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code_of([&] { parse_matmul(good.data(), 16, reinterpret_cast<uint8_t*>(arena), 284); }),
           "ERR_INTERNAL_ARGUMENT");
  const WmMatmul call = parse_matmul(good.data(), good.size(), reinterpret_cast<uint8_t*>(arena), 284);
  CHECK_EQ(call.w0.row_stride, 4u);
  CHECK_EQ(reinterpret_cast<const uint8_t*>(call.out) - reinterpret_cast<const uint8_t*>(arena), 224);
}

TEST("head rows: a curve that fills the arena to its last byte") {
  // features: 3 x 4 BF16 at 0, w0 and w1: 5 x 4 F32 at 24 and 104, biases at 184 and 204, labels at 224, lo
  // at 240, hi at 264, open at 288.
  const std::vector<double> good = {3, 5, 4,   kBF16, 0,   4, 1, kF32, 24,  104,
                                    4, 1, 184, 204,   224, 0, 1, 240,  264, 288};
  const auto parse = [&](size_t at, double value, uint64_t bytes = 291) {
    std::vector<double> numbers = good;
    if (at < numbers.size()) numbers[at] = value;
    return code_of(
        [&] { parse_head_curve(numbers.data(), numbers.size(), reinterpret_cast<uint8_t*>(arena), bytes); });
  };
  CHECK_EQ(parse(99, 0), "none");
  CHECK_EQ(parse(99, 0, 290), "ERR_INTERNAL_RANGE");
  CHECK_EQ(parse(12, -1), "none");
  CHECK_EQ(parse(0, 4), "ERR_INTERNAL_RANGE");
  CHECK_EQ(parse(5, 1e15), "ERR_INTERNAL_RANGE");
  CHECK_EQ(parse(10, 40), "ERR_INTERNAL_RANGE");
  CHECK_EQ(parse(14, 292), "ERR_INTERNAL_RANGE");
  CHECK_EQ(parse(3, static_cast<double>(DType::kI32)), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(parse(16, 0.0 / 0.0), "ERR_INTERNAL_ARGUMENT");
  const WmCurve call = parse_head_curve(good.data(), good.size(), reinterpret_cast<uint8_t*>(arena), 291);
  CHECK_EQ(call.w1.row_stride, 4u);
  CHECK_EQ(call.features.row_stride, 4u);
  CHECK_EQ(call.to, 1.0);
  CHECK_EQ(call.open - reinterpret_cast<uint8_t*>(arena), 288);
}

TEST("head rows: logits, labels and results stay inside the arena") {
  // Logits 3 x 5 in rows of 6 at 0 and 72, labels at 144, lo at 160, hi at 184, open at 208, sums at 216.
  std::vector<double> path = {3, 5, 6, 0, 72, 144, 0, 1, 160, 184, 208};
  const auto bytes = reinterpret_cast<uint8_t*>(arena);
  CHECK_EQ(code_of([&] { parse_head_path(path.data(), path.size(), bytes, 211); }), "none");
  CHECK_EQ(code_of([&] { parse_head_path(path.data(), path.size(), bytes, 210); }), "ERR_INTERNAL_RANGE");
  std::vector<double> moments = {3, 5, 6, 0, 72, 144, -1, 1, 0.5, 216};
  CHECK_EQ(code_of([&] { parse_head_moments(moments.data(), moments.size(), bytes, 264); }), "none");
  CHECK_EQ(code_of([&] { parse_head_moments(moments.data(), moments.size(), bytes, 263); }),
           "ERR_INTERNAL_RANGE");
  const std::vector<double> alphas = {0, 1};
  std::vector<double> metrics = {3, 5, 6, 0, 72, 144, 160, 184, 208, 216, -1, -1};
  const uint64_t end = 216 + 2 * 8 * kMetricColumns;
  CHECK_EQ(code_of([&] { parse_head_metrics(metrics.data(), 12, alphas, bytes, end); }), "none");
  CHECK_EQ(code_of([&] { parse_head_metrics(metrics.data(), 12, alphas, bytes, end - 1); }),
           "ERR_INTERNAL_RANGE");
  metrics[10] = static_cast<double>(end);
  CHECK_EQ(code_of([&] { parse_head_metrics(metrics.data(), 12, alphas, bytes, end + 40); }), "none");
  CHECK_EQ(code_of([&] { parse_head_metrics(metrics.data(), 12, alphas, bytes, end + 39); }),
           "ERR_INTERNAL_RANGE");
}

}  // namespace wisemerge::test
