// The numbers by which JavaScript describes work, and those that it must not send.
#include "core/stream_work.h"

#include <cmath>

#include "check.h"
#include "error_code.h"

namespace wisemerge::test {
namespace {

constexpr double kF32 = static_cast<double>(DType::kF32), kBF16 = static_cast<double>(DType::kBF16);
constexpr double kI32 = static_cast<double>(DType::kI32);

StreamWork parse(const std::vector<double>& files, const std::vector<double>& range, bool compared) {
  return parse_work(files.data(), files.size(), range.data(), range.size(), compared);
}

std::string code(const std::vector<double>& files, const std::vector<double>& range, bool compared = false) {
  return code_of([&] { parse(files, range, compared); });
}

}  // namespace

TEST("stream work: a range of an output, with interpolated and copied segments") {
  const StreamWork work = parse({5, -1, 6, 7}, {2,     8192, 4096,                                       //
                                                kBF16, kF32, kBF16, 100, 0, 4294967296, 1,  8, 12,   3,  //
                                                kI32,  kI32, kI32,  77,  1, 9,          -1, 0, 4000, 0},
                                false);
  CHECK_EQ(work.files.size(), size_t{2});
  CHECK(work.files[0].cached == 5 && work.files[0].direct == -1);
  CHECK(work.files[1].cached == 6 && work.files[1].direct == 7);
  CHECK(work.output == 2 && work.position == 8192 && work.length == 4096);
  CHECK_EQ(work.segments.size(), size_t{2});
  const StreamSegment &lerp = work.segments[0], &copy = work.segments[1];
  CHECK(lerp.x_dtype == DType::kBF16 && lerp.y_dtype == DType::kF32 && lerp.out_dtype == DType::kBF16);
  CHECK(lerp.count == 100 && lerp.x.file == 0 && lerp.x.position == uint64_t{1} << 32);
  CHECK(lerp.y.file == 1 && lerp.y.position == 8 && lerp.out_at == 12 && lerp.alpha_set == 3 && !lerp.copied);
  CHECK(copy.copied && copy.count == 77 && copy.x.file == 1 && copy.x.position == 9 && copy.out_at == 4000);
  CHECK(copy.out_dtype == DType::kU8);
}

TEST("stream work: segments to compare") {
  const StreamWork work = parse({5, -1}, {0, 0, 0, kF32, kBF16, 9, 0, 1, 0, 2}, true);
  CHECK_EQ(work.segments.size(), size_t{1});
  CHECK(work.segments[0].y_dtype == DType::kBF16 && work.segments[0].y.position == 2);
}

TEST("stream work: numbers that cannot be are refused") {
  const std::string argument = "ERR_INTERNAL_ARGUMENT", range = "ERR_INTERNAL_RANGE";
  const std::vector<double> files = {5, -1}, good = {0, 0, 8, kF32, kF32, kF32, 1, 0, 0, 0, 0, 4, 0};
  CHECK_EQ(code(files, good), std::string("none"));
  const auto with = [&](size_t at, double number) {
    std::vector<double> changed = good;
    changed[at] = number;
    return code(files, changed);
  };
  for (size_t length = 0; length < good.size(); length++) {
    if (length != 3) CHECK_EQ(code(files, {good.begin(), good.begin() + length}), argument);
  }
  CHECK_EQ(code({5}, good), argument);
  CHECK_EQ(code({-1, 5}, good), argument);
  CHECK_EQ(code({5, -2}, good), argument);
  CHECK_EQ(code({1e10, -1}, good), argument);
  for (size_t at = 0; at < good.size(); at++) {
    for (const double number : {-2.0, 0.5, 1e16, std::nan(""), HUGE_VAL}) {
      CHECK_EQ(with(at, number), argument);
    }
  }
  for (const size_t dtype : {3, 4, 5}) {
    CHECK_EQ(with(dtype, kI32), argument);
    CHECK_EQ(with(dtype, kDTypeCount), argument);
  }
  CHECK_EQ(with(7, 1), argument);  // no such file
  CHECK_EQ(with(7, -1), argument);
  CHECK_EQ(with(9, 1), argument);
  CHECK_EQ(with(11, 5), range);  // past its range
  CHECK_EQ(with(6, 9007199254740991.0), range);
  std::vector<double> twice = good;
  twice.insert(twice.end(), good.begin() + 3, good.end());
  CHECK_EQ(code(files, twice), range);
  CHECK_EQ(code(files, {0, 0, 0, kF32, kF32, 9, 0, 1, -1, 2}, true), argument);  // nothing to compare with
}

}  // namespace wisemerge::test
