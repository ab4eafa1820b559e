// The calls of merging many models as merge.h specifies them, one element after another: what every SIMD
// level must give bit for bit.
#pragma once

#include <algorithm>

#include "merge_fixture.h"

namespace wisemerge::test {

// Sums a span or row in its lanes; term(e, lane's sum) for e < count.
template <class Term>
double lane_sum(size_t count, const Term& term) {
  double lanes[kMergeLanes] = {};
  for (size_t e = 0; e < count; e++) lanes[e % kMergeLanes] = term(e, lanes[e % kMergeLanes]);
  for (size_t s = kMergeLanes / 2; s > 0; s /= 2) {
    for (size_t i = 0; i < s; i++) lanes[i] += lanes[i + s];
  }
  return lanes[0];
}

// All of a tensor's calls in one Scalar. Elements are counted from the tensor's first.
template <class Scalar>
struct Reference {
  const MergeTensors& t;

  Scalar delta(size_t i, size_t e) const { return t.delta<Scalar>(i, e); }
  Scalar score(int32_t kind, const double* row_scores, size_t i, size_t e) const {
    if (kind == WM_SCORE_ROW_SCALED) return merge_row_scaled(delta(i, e), row_scores[e / t.row]);
    if (kind == WM_SCORE_MAGNITUDE) return delta(i, e);
    return merge_variance<Scalar>(static_cast<uint32_t>(t.x.size()), [&](uint32_t j) { return delta(j, e); });
  }
  bool keeps(const WmKeep* all, size_t i, size_t e) const {
    if (!all || all[i].rule == WM_KEEP_ALL) return true;
    const WmKeep& keep = all[i];
    if (keep.rule == WM_KEEP_RANDOM) return merge_keep_random(keep, e);
    if (keep.rule == WM_KEEP_MASKED) return keep.mask[e / 8] >> (e % 8) & 1;
    return merge_keep_ranked(keep, merge_key(score(keep.score, keep.row_scores, i, e)), e);
  }

  std::vector<uint64_t> count(uint32_t model, int32_t kind, const double* row_scores, uint32_t shift,
                              uint64_t prefix) const {
    std::vector<uint64_t> table(1 << 16);
    for (size_t e = 0; e < t.count; e++) {
      const uint64_t key = merge_key(score(kind, row_scores, model, e)) >> shift;
      if (key >> 16 == prefix) table[key & 0xffff]++;
    }
    return table;
  }

  std::vector<double> sums(const WmKeep* all) const {
    std::vector<double> result;
    for (size_t begin = 0; begin < t.count; begin += kMergeSpan) {
      const size_t n = std::min<size_t>(kMergeSpan, t.count - begin);
      for (size_t i = 0; i < t.x.size(); i++) {
        const auto magnitude = [&](size_t e) { return std::fabs(static_cast<double>(delta(i, begin + e))); };
        const auto kept = [&](size_t e) { return keeps(all, i, begin + e); };
        double number = 0;
        for (size_t e = 0; e < n; e++) number += kept(e);
        result.push_back(number);
        result.push_back(lane_sum(n, [&](size_t e, double sum) { return sum + magnitude(e); }));
        result.push_back(
            lane_sum(n, [&](size_t e, double sum) { return kept(e) ? sum + magnitude(e) : sum; }));
        result.push_back(lane_sum(n, [&](size_t e, double sum) {
          return kept(e) ? std::fma(magnitude(e), magnitude(e), sum) : sum;
        }));
      }
    }
    return result;
  }

  // Adds to what `column_sums` has.
  std::vector<double> gram(int32_t axis, std::vector<double> column_sums) const {
    std::vector<double> result;
    const auto product = [&](size_t i, size_t j, size_t e, double sum) {
      return std::fma(static_cast<double>(delta(i, e)), static_cast<double>(delta(j, e)), sum);
    };
    if (axis == WM_AXIS_COLUMN) {
      size_t at = 0;
      for (size_t column = 0; column < t.row; column++) {
        for (size_t i = 0; i < t.x.size(); i++) {
          for (size_t j = i; j < t.x.size(); j++, at++) {
            for (size_t e = column; e < t.count; e += t.row) {
              column_sums[at] = product(i, j, e, column_sums[at]);
            }
          }
        }
      }
      return column_sums;
    }
    const size_t length = axis == WM_AXIS_ROW ? t.row : size_t{kMergeSpan};
    for (size_t begin = 0; begin < t.count; begin += length) {
      const size_t n = std::min(length, t.count - begin);
      for (size_t i = 0; i < t.x.size(); i++) {
        for (size_t j = i; j < t.x.size(); j++) {
          result.push_back(lane_sum(n, [&](size_t e, double sum) { return product(i, j, begin + e, sum); }));
        }
      }
    }
    return result;
  }

  std::vector<uint64_t> overlap(double epsilon) const {
    std::vector<uint64_t> counts(2 * t.x.size());
    const auto counts_at = [&](size_t i, size_t e) {
      return std::fabs(delta(i, e)) > static_cast<Scalar>(epsilon);
    };
    for (size_t e = 0; e < t.count; e++) {
      size_t all = 0;
      for (size_t i = 0; i < t.x.size(); i++) all += counts_at(i, e);
      for (size_t i = 0; i < t.x.size(); i++) {
        if (counts_at(i, e)) counts[2 * i + (all == 1)]++;
      }
    }
    return counts;
  }

  std::vector<uint8_t> rank_mask(const WmMergeRankMask& call) const {
    std::vector<uint8_t> mask((t.count + 7) / 8);
    for (size_t begin = 0; begin < t.count; begin += t.row) {
      std::vector<std::pair<uint64_t, size_t>> order;
      for (size_t e = begin; e < begin + t.row; e++) order.emplace_back(merge_key(delta(call.model, e)), e);
      std::sort(order.begin(), order.end());
      for (size_t rank = 0; rank < t.row; rank++) {
        WmKeep keep = {};
        keep.probability = merge_rank_probability(call.density, call.epsilon, rank, t.row);
        keep.key = call.key;
        keep.stream = call.stream;
        const size_t e = order[rank].second;
        if (merge_keep_random(keep, e)) mask[e / 8] = static_cast<uint8_t>(mask[e / 8] | 1 << (e % 8));
      }
    }
    return mask;
  }

  std::vector<double> divergence() const {
    std::vector<double> result;
    for (size_t begin = 0; begin < t.count; begin += t.row) {
      double x_max = -INFINITY, base_max = -INFINITY;
      bool finite = true;
      const auto x = [&](size_t e) { return t.x[0].value<double>(begin + e); };
      const auto base = [&](size_t e) { return t.base->value<double>(begin + e); };
      for (size_t e = 0; e < t.row; e++) {
        finite = finite && std::isfinite(x(e)) && std::isfinite(base(e));
        x_max = std::max(x_max, x(e));
        base_max = std::max(base_max, base(e));
      }
      if (!finite) {
        result.push_back(NAN);
        continue;
      }
      const double x_sum =
          lane_sum(t.row, [&](size_t e, double sum) { return sum + merge_exp(x(e) - x_max); });
      const double base_sum =
          lane_sum(t.row, [&](size_t e, double sum) { return sum + merge_exp(base(e) - base_max); });
      result.push_back(lane_sum(t.row, [&](size_t e, double sum) {
        return merge_divergence_term(merge_exp(x(e) - x_max), x_sum, merge_exp(base(e) - base_max), base_sum,
                                     sum);
      }));
    }
    return result;
  }

  uint64_t combine(const WmMergeCombine& call, size_t e) const {
    const auto models = static_cast<uint32_t>(t.x.size());
    const size_t at = call.axis == WM_AXIS_ROW      ? e / t.row * models
                      : call.axis == WM_AXIS_COLUMN ? e % t.row * models
                                                    : 0;
    const auto x = [&](uint32_t i) { return t.x[i].value<Scalar>(e); };
    const auto d = [&](uint32_t i) { return delta(i, e); };
    const auto weight = [&](uint32_t i) { return static_cast<Scalar>(call.weights[at + i]); };
    const auto factor = [&](uint32_t i) { return static_cast<Scalar>(call.factors[i]); };
    const auto parameter = [&](int i) { return static_cast<Scalar>(call.parameters[i]); };
    const auto kept = [&](uint32_t i) { return keeps(call.keeps, i, e) ? d(i) : Scalar(0); };
    const auto scaled = [&](uint32_t i) { return keeps(call.keeps, i, e) ? factor(i) * d(i) : Scalar(0); };
    const Scalar base = t.base ? t.base->value<Scalar>(e) : Scalar(0);
    Scalar result = base;
    switch (call.operation) {
      case WM_MERGE_SUM:
        result = merge_sum<Scalar>(models, x, weight);
        break;
      case WM_MERGE_DELTA_SUM:
        for (uint32_t i = 0; i < models; i++) {
          result = merge_add(result, weight(i), d(i), keeps(call.keeps, i, e));
        }
        break;
      case WM_MERGE_CONSENSUS:
        result = merge_add_to(
            base, merge_consensus<Scalar>(models, scaled, weight, call.parameters[0] != 0, parameter(1)));
        break;
      case WM_MERGE_ELECTED:
        result = merge_add_to(base, merge_elected<Scalar>(models, kept, weight, parameter(0)));
        break;
      case WM_MERGE_OVERLAP:
        result = merge_add_to(base, merge_overlap<Scalar>(models, d, factor, parameter(0)));
        break;
      case WM_MERGE_NEARSWAP:
        result = merge_nearswap(base, x(0), parameter(0));
        break;
      case WM_MERGE_ROUNDED_SUM:
      case WM_MERGE_ROUNDED_DELTA_SUM:
        result = merge_rounded<Scalar>(models, call.operation == WM_MERGE_ROUNDED_DELTA_SUM, base, x, weight,
                                       parameter(0), parameter(1), static_cast<DType>(call.work_dtype));
        break;
      case WM_MERGE_FISHER:
        result = merge_fisher<Scalar>(
            models / 2, x, [&](uint32_t i) { return x(models / 2 + i); }, weight, parameter(0));
        break;
      default:
        result = merge_take(base, x(0), keeps(call.keeps, 0, e));
    }
    return store(static_cast<DType>(call.out_dtype), merge_canonical(result));
  }
};

// `body` with the reference of the tensors' Scalar.
template <class Body>
auto with_reference(const MergeTensors& tensors, const Body& body) {
  return tensors.wide() ? body(Reference<double>{tensors}) : body(Reference<float>{tensors});
}

}  // namespace wisemerge::test
