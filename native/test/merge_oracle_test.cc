// The calls of merging against the papers' formulas in f64 (long double for sums), written without merge.h.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "merge_fixture.h"

using namespace wisemerge;
using namespace wisemerge::test;

namespace {

using Rows = std::vector<std::vector<double>>;

std::vector<double> decoded(const MergeTensor& tensor, size_t begin, size_t count) {
  std::vector<double> values(count);
  for (size_t e = 0; e < count; e++) values[e] = decoded(tensor, begin + e);
  return values;
}

// x_i and d_i of everything, in f64.
struct Values {
  explicit Values(const MergeTensors& t) : base(decoded(*t.base, 0, t.count)) {
    for (const MergeTensor& tensor : t.x) {
      x.push_back(decoded(tensor, 0, t.count));
      d.push_back(x.back());
      for (size_t e = 0; e < t.count; e++) d.back()[e] -= base[e];
    }
  }
  std::vector<double> base;
  Rows x, d;
};

// The `kept` elements of largest score, the lowest index first where scores are equal.
std::vector<bool> largest(const std::vector<double>& scores, size_t kept) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  std::vector<bool> mask(scores.size());
  for (size_t i = 0; i < kept; i++) mask[order[i]] = true;
  return mask;
}

// The same as a WmKeep, found as a caller finds it: two levels of counts, then the ties in ascending order.
WmKeep keep_largest(MergeContext& context, const MergeTensors& t, uint32_t model, int32_t score, size_t kept,
                    const std::vector<double>& scores) {
  uint64_t prefix = 0, left = kept;
  for (uint32_t shift : {16u, 0u}) {
    std::vector<uint64_t> table(1 << 16);
    CHECK_EQ(context.count({t.inputs(), model, score, nullptr, shift, prefix, table.data()}), WM_OK);
    size_t bucket = table.size() - 1;
    for (; table[bucket] < left; bucket--) left -= table[bucket];
    prefix = prefix << 16 | bucket;
  }
  WmKeep keep = {};
  keep.rule = WM_KEEP_RANKED;
  keep.score = score;
  keep.low_key = prefix;
  keep.high_key = UINT64_MAX;
  const double limit = bit_cast<float>(static_cast<uint32_t>(prefix));
  for (size_t e = 0; e < t.count && left > 0; e++) {
    if (scores[e] != limit) continue;
    left--;
    keep.low_to = e + 1;
  }
  CHECK_EQ(left, 0u);
  return keep;
}

struct Merge {
  int32_t operation;
  std::vector<double> weights, factors;
  const WmKeep* keeps;
  double parameters[2];
};
std::vector<float> combined(MergeContext& context, const MergeTensors& t, WmMergeInputs inputs,
                            const Merge& merge) {
  std::vector<float> out(t.count);
  uint64_t non_finite = 1;
  const WmMergeCombine call = {inputs,
                               merge.operation,
                               WM_AXIS_WHOLE,
                               merge.weights.data(),
                               merge.factors.data(),
                               merge.keeps,
                               {merge.parameters[0], merge.parameters[1]},
                               static_cast<int32_t>(DType::kF32),
                               out.data(),
                               &non_finite,
                               static_cast<int32_t>(DType::kF32)};
  CHECK_EQ(context.combine(call), WM_OK);
  CHECK_EQ(non_finite, 0u);
  return out;
}

// Within rounding in f32 of `scale`, the size of what is added up.
template <class Expected>
void check_close(const std::vector<float>& got, const Expected& expected, double scale) {
  for (size_t e = 0; e < got.size(); e++) {
    const double want = expected(e);
    if (std::fabs(got[e] - want) <= 4e-7 * std::max(scale, std::fabs(want))) continue;
    char text[120];
    std::snprintf(text, sizeof(text), "element %zu is %.9g, expected %.9g", e, static_cast<double>(got[e]),
                  want);
    return fail(__FILE__, __LINE__, text);
  }
}

}  // namespace

TEST("merge oracle: weighted sums and task arithmetic") {
  const MergeTensors t = tuned_tensors(3, 5001, 1, 1);
  const Values v(t);
  MergeContext context;
  const std::vector<double> w = {0.5, -0.25, 1.75};
  WmMergeInputs no_base = t.inputs();
  no_base.base = nullptr;
  check_close(
      combined(context, t, no_base, {WM_MERGE_SUM, w, {}, nullptr, {}}),
      [&](size_t e) { return w[0] * v.x[0][e] + w[1] * v.x[1][e] + w[2] * v.x[2][e]; }, 0.1);
  check_close(
      combined(context, t, t.inputs(), {WM_MERGE_DELTA_SUM, w, {}, nullptr, {}}),
      [&](size_t e) { return v.base[e] + w[0] * v.d[0][e] + w[1] * v.d[1][e] + w[2] * v.d[2][e]; }, 0.1);
}

TEST("merge oracle: TIES trims by exact ranks, elects signs and takes the disjoint mean") {
  const size_t count = kMergeSpan + 3000, kept = count / 5;
  const MergeTensors t = tuned_tensors(3, count, 1, 2);
  const Values v(t);
  MergeContext context;
  std::vector<WmKeep> keeps;
  std::vector<std::vector<bool>> masks;
  for (uint32_t i = 0; i < 3; i++) {
    std::vector<double> scores(count);
    for (size_t e = 0; e < count; e++) scores[e] = std::fabs(v.d[i][e]);
    masks.push_back(largest(scores, kept));
    keeps.push_back(keep_largest(context, t, i, WM_SCORE_MAGNITUDE, kept, scores));
  }
  std::vector<double> sums(2 * 3 * kMergeSumColumns);
  CHECK_EQ(context.sums({t.inputs(), keeps.data(), sums.data(), WM_AXIS_WHOLE}), WM_OK);
  for (size_t i = 0; i < 3; i++) {
    const double* const first = sums.data() + i * kMergeSumColumns;
    const double* const second = first + 3 * kMergeSumColumns;
    CHECK_EQ(first[kMergeSumKept] + second[kMergeSumKept], static_cast<double>(kept));
    long double all = 0, mine = 0, squares = 0;
    for (size_t e = 0; e < count; e++) {
      all += std::fabs(v.d[i][e]);
      mine += masks[i][e] ? std::fabs(v.d[i][e]) : 0;
      squares += masks[i][e] ? v.d[i][e] * v.d[i][e] : 0;
    }
    const long double want[] = {0, all, mine, squares};
    for (uint32_t c = 1; c < kMergeSumColumns; c++) {
      CHECK(std::fabs(first[c] + second[c] - want[c]) <= 1e-12L * want[c]);
    }
  }
  const std::vector<double> w = {1.0, 0.5, 2.0};
  for (const bool normalize : {false, true}) {
    const Merge merge = {WM_MERGE_CONSENSUS, w, w, keeps.data(), {normalize ? 1.0 : 0.0, 0.8}};
    check_close(
        combined(context, t, t.inputs(), merge),
        [&](size_t e) {
          double total = 0, mixed = 0, divisor = 0;
          for (size_t i = 0; i < 3; i++) total += masks[i][e] ? w[i] * v.d[i][e] : 0;
          for (size_t i = 0; i < 3; i++) {
            if (!masks[i][e] || v.d[i][e] == 0 || (v.d[i][e] > 0) != (total >= 0)) continue;
            mixed += w[i] * v.d[i][e];
            divisor += w[i];
          }
          return v.base[e] + 0.8 * (normalize && divisor != 0 ? mixed / divisor : mixed);
        },
        0.1);
  }
}

TEST("merge oracle: SCE selects by variance and elects the sign of the plain sum") {
  const size_t count = 4000, kept = 700;
  const MergeTensors t = tuned_tensors(4, count, 1, 3);
  const Values v(t);
  MergeContext context;
  std::vector<double> variance(count);
  for (size_t e = 0; e < count; e++) {
    // In f32, as the selection itself is: a rounding decides between neighbours.
    float mean = 0, squares = 0;
    for (size_t i = 0; i < 4; i++) mean += static_cast<float>(v.d[i][e]);
    mean /= 4;
    for (size_t i = 0; i < 4; i++) {
      const float away = static_cast<float>(v.d[i][e]) - mean;
      squares = std::fma(away, away, squares);
    }
    variance[e] = squares / 4;
  }
  const auto mask = largest(variance, kept);
  const std::vector<WmKeep> keeps(4, keep_largest(context, t, 0, WM_SCORE_VARIANCE, kept, variance));
  const std::vector<double> w = {0.1, 0.4, 0.3, 0.2};
  check_close(
      combined(context, t, t.inputs(), {WM_MERGE_ELECTED, w, {}, keeps.data(), {1e-6, 0}}),
      [&](size_t e) {
        if (!mask[e]) return v.base[e];
        double total = 0, mixed = 0, divisor = 0;
        for (size_t i = 0; i < 4; i++) total += v.d[i][e];
        for (size_t i = 0; i < 4; i++) {
          if (v.d[i][e] == 0 || (v.d[i][e] > 0) != (total >= 0)) continue;
          mixed += w[i] * v.d[i][e];
          divisor += w[i];
        }
        return v.base[e] + mixed / std::max(divisor, 1e-6);
      },
      0.1);
}

TEST("merge oracle: RAM averages what is shared and scales what is unique") {
  const MergeTensors t = tuned_tensors(3, 3001, 1, 4);
  const Values v(t);
  MergeContext context;
  const double epsilon = 0.0015;
  const std::vector<double> factors = {1.1, 1.2, 0.9};
  std::vector<uint64_t> counts(6), expected(6);
  CHECK_EQ(context.overlap({t.inputs(), epsilon, counts.data()}), WM_OK);
  const auto number = [&](size_t e) {
    return (std::fabs(v.d[0][e]) > epsilon) + (std::fabs(v.d[1][e]) > epsilon) +
           (std::fabs(v.d[2][e]) > epsilon);
  };
  for (size_t e = 0; e < t.count; e++) {
    for (size_t i = 0; i < 3; i++) {
      if (std::fabs(v.d[i][e]) > epsilon) expected[2 * i + (number(e) == 1)]++;
    }
  }
  CHECK(counts == expected);
  check_close(
      combined(context, t, t.inputs(), {WM_MERGE_OVERLAP, {}, factors, nullptr, {epsilon, 0}}),
      [&](size_t e) {
        double mixed = 0;
        for (size_t i = 0; i < 3; i++) {
          if (std::fabs(v.d[i][e]) <= epsilon) continue;
          mixed += v.d[i][e] * (number(e) == 1 ? factors[i] : 1.0 / number(e));
        }
        return v.base[e] + mixed;
      },
      0.1);
}

TEST("merge oracle: nearswap and Fisher merging") {
  MergeTensors t = tuned_tensors(1, 2000, 1, 5);
  const Values v(t);
  MergeContext context;
  const double near = 0.001;
  check_close(
      combined(context, t, t.inputs(), {WM_MERGE_NEARSWAP, {}, {}, nullptr, {near, 0}}),
      [&](size_t e) {
        const double share = near / std::max(std::fabs(v.d[0][e]), 1e-6);
        const double weight = std::min(1.0, std::max(0.0, share));
        return weight * v.x[0][e] + (1 - weight) * v.base[e];
      },
      0.1);

  const MergeTensors f = tuned_tensors(4, 2000, 1, 6, DType::kF32);
  std::vector<MergeTensor> inputs = {f.x[0], f.x[1]};
  std::vector<double> fishers[2];
  for (size_t i = 0; i < 2; i++) {
    std::vector<uint64_t> codes(f.count);
    for (size_t e = 0; e < f.count; e++) {
      const float fisher = e % 7 ? std::fabs(f.x[2 + i].value<float>(e)) : 0.0f;
      fishers[i].push_back(fisher);
      codes[e] = bit_cast<uint32_t>(fisher);
    }
    inputs.emplace_back(DType::kF32, codes);
  }
  MergeTensors both;
  both.x = inputs;
  both.count = f.count;
  const double w[] = {0.3, 0.6};
  check_close(
      combined(context, both, both.inputs(), {WM_MERGE_FISHER, {0.3, 0.6}, {}, nullptr, {1e-6, 0}}),
      [&](size_t e) {
        const double a = w[0] * std::max(fishers[0][e], 1e-6), b = w[1] * std::max(fishers[1][e], 1e-6);
        return (a * decoded(inputs[0], e) + b * decoded(inputs[1], e)) / (a + b);
      },
      0.1);
}

TEST("merge oracle: inner products of spans, rows and columns") {
  const size_t row = 1237, count = 60 * row;  // more than a span
  const MergeTensors t = tuned_tensors(3, count, row, 7);
  const Values v(t);
  MergeContext context;
  const auto check = [&](int32_t axis, size_t units, const auto& unit_of) {
    std::vector<double> sums(units * 6);
    CHECK_EQ(context.gram({t.inputs(), axis, sums.data()}), WM_OK);
    size_t pair = 0;
    for (size_t i = 0; i < 3; i++) {
      for (size_t j = i; j < 3; j++, pair++) {
        std::vector<long double> want(units), scale(units);
        for (size_t e = 0; e < count; e++) {
          want[unit_of(e)] += static_cast<long double>(v.d[i][e]) * v.d[j][e];
          scale[unit_of(e)] += std::fabs(static_cast<long double>(v.d[i][e]) * v.d[j][e]);
        }
        for (size_t u = 0; u < units; u++) {
          CHECK(std::fabs(sums[u * 6 + pair] - want[u]) <= 1e-12L * scale[u]);
        }
      }
    }
  };
  check(WM_AXIS_WHOLE, 2, [](size_t e) { return e / kMergeSpan; });
  check(WM_AXIS_ROW, 60, [&](size_t e) { return e / row; });
  check(WM_AXIS_COLUMN, row, [&](size_t e) { return e % row; });
}

TEST("merge oracle: divergence of two softmaxes") {
  MergeTensors t = tuned_tensors(1, 12 * 501, 501, 8, DType::kF32);
  const Values v(t);
  MergeContext context;
  std::vector<double> divergence(12);
  CHECK_EQ(context.divergence({t.inputs(), divergence.data()}), WM_OK);
  for (size_t row = 0; row < 12; row++) {
    long double p_sum = 0, q_sum = 0, want = 0;
    for (size_t e = row * 501; e < (row + 1) * 501; e++) {
      p_sum += std::exp(static_cast<long double>(v.x[0][e]));
      q_sum += std::exp(static_cast<long double>(v.base[e]));
    }
    for (size_t e = row * 501; e < (row + 1) * 501; e++) {
      const long double p = std::exp(static_cast<long double>(v.x[0][e])) / p_sum + 1e-8L;
      const long double q = std::exp(static_cast<long double>(v.base[e])) / q_sum + 1e-8L;
      want += p * std::log(p / q);
    }
    CHECK(want > 1e-7L);  // far above the rounding allowed
    CHECK(std::fabs(divergence[row] - want) < 1e-14L);
  }
}

TEST("merge oracle: random masks keep the share they should, by rank for MagPrune") {
  const size_t row = 1000, rows = 400, count = row * rows;
  const MergeTensors t = tuned_tensors(1, count, row, 9, DType::kF32);
  const Values v(t);
  MergeContext context;
  WmKeep keep = {};
  keep.rule = WM_KEEP_RANDOM;
  keep.probability = 0.3;
  keep.key = 99;
  std::vector<double> sums((count + kMergeSpan - 1) / kMergeSpan * kMergeSumColumns);
  CHECK_EQ(context.sums({t.inputs(), &keep, sums.data(), WM_AXIS_WHOLE}), WM_OK);
  double kept = 0;
  for (size_t s = 0; s < sums.size(); s += kMergeSumColumns) kept += sums[s + kMergeSumKept];
  // Five standard deviations of the binomial distribution.
  const double n = static_cast<double>(count);
  CHECK(std::fabs(kept - 0.3 * n) < 5 * std::sqrt(0.3 * 0.7 * n));

  std::vector<uint8_t> mask(count / 8);
  CHECK_EQ(context.rank_mask({t.inputs(), 0, 3, 0.5, 0.4, 17, mask.data()}), WM_OK);
  std::vector<double> by_tenth(10);
  for (size_t r = 0; r < rows; r++) {
    std::vector<size_t> order(row);
    std::iota(order.begin(), order.end(), r * row);
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return std::fabs(v.d[0][a]) < std::fabs(v.d[0][b]); });
    for (size_t rank = 0; rank < row; rank++) {
      by_tenth[rank / 100] += mask[order[rank] / 8] >> (order[rank] % 8) & 1;
    }
  }
  for (size_t tenth = 0; tenth < 10; tenth++) {
    const double share = 0.5 - 0.4 + 0.8 * (static_cast<double>(tenth) * 100 + 49.5) / 999;
    CHECK(std::fabs(by_tenth[tenth] / (n / 10) - share) < 5 * std::sqrt(share * (1 - share) / (n / 10)));
  }
}
