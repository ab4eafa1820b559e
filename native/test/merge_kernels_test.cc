// Every SIMD level of the merging kernels against the scalar specification, bit for bit.
#include "merge_reference.h"

using namespace wisemerge;
using namespace wisemerge::test;

namespace {

constexpr DType kB = DType::kBF16, kH = DType::kF16, kF = DType::kF32, kD = DType::kF64, kE5 = DType::kF8E5M2,
                kE4 = DType::kF8E4M3;

constexpr DType kWorkDTypes[] = {kB, kH, kF, kD};

struct Shape {
  std::vector<DType> dtypes;
  DType base;
  size_t count, row;
};
// Every dtype as input and as base, odd sizes around a tile's, one model and many.
const std::vector<Shape>& shapes() {
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

std::string name_of(const Shape& shape, const char* isa) {
  return std::string(isa) + ", " + std::to_string(shape.dtypes.size()) + " x " +
         dtype_info(shape.dtypes[0]).name + ", base " + dtype_info(shape.base).name + ", " +
         std::to_string(shape.count);
}

// body(context, tensors, reference, where) for all shapes, levels, and values with and without specials.
template <class Body>
void for_all(bool with_base, const Body& body) {
  for (const Shape& shape : shapes()) {
    for (const bool specials : {false, true}) {
      const MergeTensors tensors = make_tensors(shape.dtypes, shape.base, with_base, shape.count, shape.row,
                                                specials, 11 * shape.count + specials);
      with_reference(tensors, [&](const auto& reference) {
        for (const char* isa : kLevels) {
          MergeContext context(isa);
          body(context, tensors, reference, name_of(shape, isa));
        }
      });
    }
  }
}

std::vector<double> row_scores(const MergeTensors& tensors) {
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

}  // namespace

TEST("merge kernels: counts of every score, level and prefix") {
  for (const bool with_base : {true, false}) {
    for_all(with_base, [](MergeContext& context, const MergeTensors& t, const auto& reference,
                          const std::string& where) {
      const auto scores = row_scores(t);
      const uint32_t model = static_cast<uint32_t>(t.x.size()) / 2;
      for (int32_t score : {WM_SCORE_MAGNITUDE, WM_SCORE_VARIANCE, WM_SCORE_ROW_SCALED}) {
        uint64_t prefix = 0;
        for (uint32_t bits = t.wide() ? 48 : 16;; bits -= 16) {
          std::vector<uint64_t> table(1 << 16, 3);
          CHECK_EQ(context.count({t.inputs(), model, score, scores.data(), bits, prefix, table.data()}),
                   WM_OK);
          auto expected = reference.count(model, score, scores.data(), bits, prefix);
          uint64_t fullest = 0;
          for (uint64_t bucket = 0; bucket < expected.size(); bucket++) {
            if (expected[bucket] > expected[fullest]) fullest = bucket;
            expected[bucket] += 3;
          }
          if (table != expected) fail(__FILE__, __LINE__, where + ": score " + std::to_string(score));
          prefix = prefix << 16 | fullest;
          if (bits == 0) break;
        }
      }
    });
  }
}

TEST("merge kernels: sums over what every rule keeps") {
  for (const bool with_base : {true, false}) {
    for_all(with_base, [](MergeContext& context, const MergeTensors& t, const auto& reference,
                          const std::string& where) {
      for (size_t start = 0; start<7; start += t.x.size()> 7 ? 7 : 1) {
        const Keeps keeps(t, reference, start);
        const auto expected = reference.sums(keeps.all.data());
        std::vector<double> sums(expected.size());
        CHECK_EQ(context.sums({t.inputs(), keeps.all.data(), sums.data()}), WM_OK);
        check_sums(sums, expected, where + ", keeps " + std::to_string(start));
      }
    });
  }
}

TEST("merge kernels: inner products along every axis") {
  for (const bool with_base : {true, false}) {
    for_all(with_base, [](MergeContext& context, const MergeTensors& t, const auto& reference,
                          const std::string& where) {
      for (int32_t axis : {WM_AXIS_WHOLE, WM_AXIS_ROW, WM_AXIS_COLUMN}) {
        std::vector<double> before(t.row * t.x.size() * (t.x.size() + 1) / 2);
        for (size_t i = 0; i < before.size(); i++) before[i] = 0.01 * static_cast<double>(i % 17);
        const auto expected = reference.gram(axis, before);
        std::vector<double> sums = axis == WM_AXIS_COLUMN ? before : std::vector<double>(expected.size());
        CHECK_EQ(context.gram({t.inputs(), axis, sums.data()}), WM_OK);
        check_sums(sums, expected, where + ", axis " + std::to_string(axis));
      }
    });
  }
}

TEST("merge kernels: overlaps") {
  for_all(true,
          [](MergeContext& context, const MergeTensors& t, const auto& reference, const std::string& where) {
            for (double epsilon : {0.0, 1e-5, 0.1}) {
              std::vector<uint64_t> counts(2 * t.x.size(), 5);
              CHECK_EQ(context.overlap({t.inputs(), epsilon, counts.data()}), WM_OK);
              for (uint64_t& count : counts) count -= 5;
              if (counts != reference.overlap(epsilon)) fail(__FILE__, __LINE__, where);
            }
          });
}

TEST("merge kernels: masks by rank") {
  for_all(true,
          [](MergeContext& context, const MergeTensors& t, const auto& reference, const std::string& where) {
            std::vector<uint8_t> mask((t.count + 7) / 8 + 1, 0xa5);
            const uint32_t model = static_cast<uint32_t>(t.x.size()) - 1;
            const WmMergeRankMask call = {t.inputs(), model, 5, 0.5, 0.3, 0x123456789abcdef0ull, mask.data()};
            CHECK_EQ(context.rank_mask(call), WM_OK);
            CHECK_EQ(mask.back(), 0xa5);
            mask.pop_back();
            if (mask != reference.rank_mask(call)) fail(__FILE__, __LINE__, where);
          });
}

TEST("merge kernels: divergences") {
  for_all(true,
          [](MergeContext& context, const MergeTensors& t, const auto& reference, const std::string& where) {
            const auto expected = reference.divergence();
            std::vector<double> divergence(expected.size());
            CHECK_EQ(context.divergence({t.inputs(), divergence.data()}), WM_OK);
            check_sums(divergence, expected, where);
          });
}

TEST("merge kernels: every operation, keep, axis and output dtype") {
  for (int32_t operation = WM_MERGE_SUM; operation <= WM_MERGE_ROUNDED_DELTA_SUM; operation++) {
    const bool with_base =
        operation != WM_MERGE_SUM && operation != WM_MERGE_FISHER && operation != WM_MERGE_ROUNDED_SUM;
    const bool keeps_too =
        (operation >= WM_MERGE_DELTA_SUM && operation <= WM_MERGE_ELECTED) || operation == WM_MERGE_TAKE;
    for_all(with_base, [&](MergeContext& context, const MergeTensors& t, const auto& reference,
                           const std::string& where) {
      if ((operation == WM_MERGE_NEARSWAP || operation == WM_MERGE_TAKE) && t.x.size() != 1) return;
      if (operation == WM_MERGE_FISHER && t.x.size() % 2) return;
      std::mt19937_64 random(operation);
      std::vector<double> weights((t.row + t.count) * t.x.size()), factors(t.x.size());
      for (double& weight : weights) weight = static_cast<double>(random() % 2001) / 1000 - 0.5;
      for (double& factor : factors) factor = static_cast<double>(random() % 2001) / 1000 - 0.5;
      for (size_t variant = 0; variant < 7; variant++) {
        const Keeps keeps(t, reference, variant);
        const int32_t axis = operation <= WM_MERGE_DELTA_SUM ? static_cast<int32_t>(variant % 3) : 0;
        const DType out_dtype = kFloatDTypes[variant % 6];
        std::vector<uint64_t> memory(t.count + 3, 0xa5a5a5a5a5a5a5a5ull);
        char* const out = reinterpret_cast<char*>(memory.data()) + item_size(out_dtype);
        uint64_t non_finite = 99, expected_non_finite = 0;
        const WmMergeCombine call = {
            t.inputs(),
            operation,
            axis,
            weights.data(),
            factors.data(),
            keeps_too && variant < 5 ? keeps.all.data() : nullptr,
            {operation == WM_MERGE_CONSENSUS ? static_cast<double>(variant % 2) : 1e-2, 0.7},
            static_cast<int32_t>(out_dtype),
            out,
            &non_finite,
            static_cast<int32_t>(kWorkDTypes[variant % 4])};
        CHECK_EQ(context.combine(call), WM_OK);
        size_t wrong = 0;
        for (size_t e = 0; e < t.count; e++) {
          const uint64_t expected = reference.combine(call, e), got = load_code(out_dtype, out, e);
          expected_non_finite += !format_of(out_dtype).is_finite(expected);
          if (expected == got || wrong++) continue;
          char text[160];
          std::snprintf(text, sizeof(text), ", operation %d, variant %zu, element %zu: %llx, expected %llx",
                        operation, variant, e, static_cast<unsigned long long>(got),
                        static_cast<unsigned long long>(expected));
          fail(__FILE__, __LINE__, where + text);
        }
        CHECK_EQ(non_finite, expected_non_finite);
        const unsigned char* const after =
            reinterpret_cast<unsigned char*>(out) + t.count * item_size(out_dtype);
        CHECK(after[0] == 0xa5 && reinterpret_cast<unsigned char*>(out)[-1] == 0xa5);
      }
    });
  }
}
