#include "core/segments.h"

#include <cmath>
#include <limits>
#include <string>

#include "check.h"
#include "core/status.h"

using namespace wisemerge;

namespace {

constexpr double kF32 = static_cast<double>(DType::kF32);
constexpr double kF64 = static_cast<double>(DType::kF64);
constexpr double kBF16 = static_cast<double>(DType::kBF16);

std::string lerp_code(const std::vector<double>& numbers, uint32_t alphas, uint64_t arena) {
  try {
    parse_lerp_segments(numbers.data(), numbers.size(), alphas, arena);
    return "accepted";
  } catch (const Error& error) {
    return error.code();
  }
}

std::string compare_code(const std::vector<double>& numbers, uint64_t arena) {
  try {
    parse_compare_segments(numbers.data(), numbers.size(), arena);
    return "accepted";
  } catch (const Error& error) {
    return error.code();
  }
}

}  // namespace

TEST("segments: a row is read by its columns") {
  const std::vector<double> rows = {kF32, kBF16, kF64, 4, 0, 16, 24, 56, kF32, kF32, kF32, 0, 1, 2, 3, 4};
  const LerpSegments segments = parse_lerp_segments(rows.data(), rows.size(), 2, 88);
  CHECK_EQ(segments.rows.size(), 2u);
  CHECK(segments.rows[0].x_dtype == DType::kF32 && segments.rows[0].y_dtype == DType::kBF16);
  CHECK(segments.rows[0].out_dtype == DType::kF64);
  CHECK_EQ(segments.rows[0].count, 4u);
  CHECK_EQ(segments.rows[0].y_offset, 16u);
  CHECK(segments.out_offsets == std::vector<uint64_t>({24, 56, 3, 4}));
}

TEST("segments: ranges end at the arena's last byte and no later") {
  CHECK_EQ(lerp_code({kF32, kF32, kF32, 4, 0, 16, 32}, 1, 48), "accepted");
  CHECK_EQ(lerp_code({kF32, kF32, kF32, 4, 0, 16, 32}, 1, 47), "ERR_INTERNAL_RANGE");
  CHECK_EQ(lerp_code({kF32, kF32, kF32, 4, 33, 16, 0}, 1, 48), "ERR_INTERNAL_RANGE");
  CHECK_EQ(lerp_code({kF32, kF32, kF32, 0, 48, 48, 48}, 1, 48), "accepted");
  CHECK_EQ(lerp_code({kF32, kF32, kF32, 0, 49, 48, 48}, 1, 48), "ERR_INTERNAL_RANGE");
  CHECK_EQ(compare_code({kF32, kF64, 4, 0, 16}, 48), "accepted");
  CHECK_EQ(compare_code({kF32, kF64, 4, 0, 17}, 48), "ERR_INTERNAL_RANGE");
}

TEST("segments: products and sums that overflow 64 bits are out of range") {
  const double most = 9007199254740991.0;
  CHECK_EQ(lerp_code({kF64, kF64, kF64, most, 0, 0, 0}, 1, 1 << 20), "ERR_INTERNAL_RANGE");
  CHECK_EQ(lerp_code({kF64, kF64, kF64, 1, most, 0, 8}, 1, 1 << 20), "ERR_INTERNAL_RANGE");
  CHECK_EQ(compare_code({kF64, kF64, most, most, most}, UINT64_MAX), "accepted");
}

TEST("segments: numbers must be whole, positive and exact") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double bad : {-1.0, 0.5, nan, HUGE_VAL, -HUGE_VAL, 9007199254740992.0, 1e300}) {
    for (size_t column = 0; column < 7; column++) {
      std::vector<double> row = {kF32, kF32, kF32, 1, 0, 4, 8};
      row[column] = bad;
      CHECK_EQ(lerp_code(row, 1, 1024), "ERR_INTERNAL_ARGUMENT");
    }
  }
}

TEST("segments: only float dtypes, only whole rows") {
  for (uint32_t dtype = 0; dtype < kDTypeCount + 3; dtype++) {
    const bool floating = dtype < kDTypeCount && is_float(static_cast<DType>(dtype));
    const double d = dtype;
    CHECK_EQ(lerp_code({d, kF32, kF32, 1, 0, 8, 16}, 1, 64), floating ? "accepted" : "ERR_INTERNAL_ARGUMENT");
    CHECK_EQ(compare_code({kF32, d, 1, 0, 8}, 64), floating ? "accepted" : "ERR_INTERNAL_ARGUMENT");
  }
  CHECK_EQ(lerp_code({kF32, kF32, kF32, 1, 0, 4}, 1, 64), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(lerp_code({kF32, kF32, kF32, 1, 0, 4, 8, 12}, 1, 64), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(lerp_code({}, 1, 64), "accepted");
}

TEST("segments: an output overlaps nothing, inputs may share") {
  CHECK_EQ(lerp_code({kF32, kF32, kF32, 4, 0, 0, 16}, 1, 64), "accepted");
  CHECK_EQ(lerp_code({kF32, kF32, kF32, 4, 0, 8, 24}, 1, 64), "accepted");
  CHECK_EQ(lerp_code({kF32, kF32, kF32, 4, 0, 16, 0}, 1, 64), "ERR_INTERNAL_RANGE");
  CHECK_EQ(lerp_code({kF32, kF32, kF32, 4, 0, 16, 31}, 1, 64), "ERR_INTERNAL_RANGE");
  CHECK_EQ(lerp_code({kF32, kF32, kF32, 4, 0, 16, 32, 47}, 2, 64), "ERR_INTERNAL_RANGE");
  CHECK_EQ(lerp_code({kF32, kF32, kF32, 4, 0, 16, 32, 48}, 2, 64), "accepted");
  // Across rows, behind a longer range that began earlier, and under a read that begins later.
  CHECK_EQ(lerp_code({kF32, kF32, kF32, 8, 0, 32, 64, kF32, kF32, kF32, 1, 96, 100, 92}, 1, 128),
           "ERR_INTERNAL_RANGE");
  CHECK_EQ(lerp_code({kF32, kF32, kF32, 8, 0, 32, 64, kF32, kF32, kF32, 1, 80, 100, 104}, 1, 128),
           "ERR_INTERNAL_RANGE");
  CHECK_EQ(lerp_code({kF32, kF32, kF32, 8, 0, 32, 64, kF32, kF32, kF32, 1, 0, 4, 96}, 1, 128), "accepted");
  // Empty ranges take no bytes.
  CHECK_EQ(lerp_code({kF32, kF32, kF32, 0, 0, 0, 0, kF32, kF32, kF32, 1, 0, 4, 8}, 1, 128), "accepted");
}
