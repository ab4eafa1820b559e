// What is kept at random or by a mask, where kernels go over it in vectors: sums of deltas in one pass, and
// masks of rows that begin inside a byte.
#include "merge_cases.h"

using namespace wisemerge;
using namespace wisemerge::test;

namespace {

// Models whose keeps have these probabilities in turn; above 1, all is kept by rule.
std::vector<WmKeep> random_keeps(size_t models) {
  constexpr double kProbabilities[] = {0.3, 2, 1, 0, 0.999};
  std::vector<WmKeep> keeps(models);
  for (size_t i = 0; i < models; i++) {
    keeps[i].rule = kProbabilities[i % 5] > 1 ? WM_KEEP_ALL : WM_KEEP_RANDOM;
    keeps[i].probability = kProbabilities[i % 5];
    keeps[i].key = 0x123456789abcdef0ull;
    keeps[i].stream = static_cast<uint32_t>(i);
  }
  return keeps;
}

}  // namespace

TEST("merge random: sums of deltas of which random ones are kept") {
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
    for (const size_t models : {1, 2, 5, 17}) {
      for (const size_t count : {31, 64, 1023, 1057, 3 * 1024 + 65}) {
        const bool specials = count % 2;
        const MergeTensors t = make_tensors(std::vector<DType>(models, dtype), dtype, true, count, 1,
                                            specials, 7 * count + models);
        const auto keeps = random_keeps(models);
        std::vector<double> weights;
        for (size_t i = 0; i < models; i++) weights.push_back(0.7 - 0.31 * static_cast<double>(i));
        for (const char* isa : kLevels) {
          MergeContext context(isa);
          std::vector<uint64_t> memory(count + 2, 0xa5a5a5a5a5a5a5a5ull);
          char* const out = reinterpret_cast<char*>(memory.data()) + item_size(dtype);
          uint64_t non_finite = 99, expected_non_finite = 0;
          const WmMergeCombine call = {
              t.inputs(), WM_MERGE_DELTA_SUM,          WM_AXIS_WHOLE, weights.data(), nullptr, keeps.data(),
              {},         static_cast<int32_t>(dtype), out,           &non_finite,    0};
          CHECK_EQ(context.combine(call), WM_OK);
          size_t wrong = 0;
          for (size_t e = 0; e < count; e++) {
            const uint64_t expected = Reference<float>{t}.combine(call, e);
            expected_non_finite += !format_of(dtype).is_finite(expected);
            wrong += expected != load_code(dtype, out, e);
          }
          if (wrong > 0) {
            fail(__FILE__, __LINE__,
                 std::string(isa) + ", " + dtype_info(dtype).name + ", " + std::to_string(models) +
                     " models, " + std::to_string(count) + " elements: " + std::to_string(wrong) + " differ");
          }
          CHECK_EQ(non_finite, expected_non_finite);
          const char* const after = out + count * item_size(dtype);
          CHECK(after[0] == '\xa5' && out[-1] == '\xa5');
        }
      }
    }
  }
}

TEST("merge random: a mask's rows begin anywhere in a byte and end with it") {
  for (const size_t row : {1, 13, 37, 1031}) {
    const size_t rows = 9, count = rows * row;
    const MergeTensors t = tuned_tensors(1, count, row, 3);
    // In memory of its own, so that a sanitizer sees what is read behind it.
    std::vector<uint8_t> mask((count + 7) / 8);
    std::mt19937_64 random(row);
    for (uint8_t& byte : mask) byte = static_cast<uint8_t>(random());
    WmKeep keep = {};
    keep.rule = WM_KEEP_MASKED;
    keep.mask = mask.data();
    for (const char* isa : kLevels) {
      MergeContext context(isa);
      std::vector<double> sums(rows * kMergeSumColumns);
      CHECK_EQ(context.sums({t.inputs(), &keep, sums.data(), WM_AXIS_ROW}), WM_OK);
      for (size_t r = 0; r < rows; r++) {
        double expected = 0;
        for (size_t e = r * row; e < (r + 1) * row; e++) expected += mask[e / 8] >> (e % 8) & 1;
        CHECK_EQ(sums[r * kMergeSumColumns + kMergeSumKept], expected);
      }
    }
  }
}
