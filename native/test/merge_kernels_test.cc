// Every SIMD level of the merging kernels against the scalar specification, bit for bit.
#include "merge_cases.h"

using namespace wisemerge;
using namespace wisemerge::test;

namespace {

std::string name_of(const Shape& shape, const char* isa) { return std::string(isa) + ", " + name_of(shape); }

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
        CHECK_EQ(context.sums({t.inputs(), keeps.all.data(), sums.data(), WM_AXIS_WHOLE}), WM_OK);
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

TEST("merge kernels: masks by rank of long rows, with few different deltas and with what is not finite") {
  enum Sort { kSpread, kFewDeltas, kOneDelta, kNotFinite, kSorts };
  for (const size_t row : {64, 65, 200, 4099, 70001}) {
    for (int sort = 0; sort < kSorts; sort++) {
      std::mt19937_64 random(row + static_cast<size_t>(sort));
      const size_t count = row * (row < 1000 ? 5 : 1);
      std::vector<uint64_t> base(count), x(count);
      for (size_t e = 0; e < count; e++) {
        base[e] = 0x3c00 + random() % 256 + (random() % 2 << 15);
        const uint64_t steps = sort == kSpread ? random() % 64 : sort == kOneDelta ? 0 : random() % 3;
        x[e] = base[e] + steps;
        if (sort == kNotFinite && random() % 50 == 0) x[e] = random() % 2 ? 0x7fc1 : 0xff80;
      }
      MergeTensors tensors;
      tensors.count = count;
      tensors.row = row;
      tensors.x.emplace_back(DType::kBF16, x);
      tensors.base = std::make_unique<MergeTensor>(DType::kBF16, base);
      for (const auto& [density, epsilon] : {std::pair{0.5, 0.1},
                                             {0.9, 0.2},
                                             {0.3, -0.05},
                                             {0.7, 0.0},
                                             {0.5, 1e-8},
                                             {0.5, 0.5},
                                             {0.5, -0.5}}) {
        std::vector<uint8_t> mask((count + 7) / 8);
        const WmMergeRankMask call = {tensors.inputs(),      0,          3, density, epsilon,
                                      0xfedcba9876543210ull, mask.data()};
        const auto expected = Reference<float>{tensors}.rank_mask(call);
        for (const char* isa : kLevels) {
          MergeContext context(isa);
          CHECK_EQ(context.rank_mask(call), WM_OK);
          if (mask == expected) continue;
          fail(__FILE__, __LINE__,
               std::string(isa) + ", rows of " + std::to_string(row) + ", sort " + std::to_string(sort) +
                   ", epsilon " + std::to_string(epsilon));
        }
      }
    }
  }
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
